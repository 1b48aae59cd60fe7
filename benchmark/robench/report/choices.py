"""The choices of ``--tables``, ``--format`` and ``--publish`` of commands."""

from __future__ import annotations

from enum import StrEnum


class Shown(StrEnum):
    """The amount of text that a command shows on a terminal.

    ``headline`` shows one screen, ``ranking`` every row of the ranking tables, and ``all`` every section of
    leaderboard.md.
    """

    HEADLINE = "headline"
    RANKING = "ranking"
    ALL = "all"


class Published(StrEnum):
    """The published form of a folder of results.

    ``users`` keeps every record and array, so that everybody can verify the tables. ``aggregate`` withholds the arrays,
    which say what each user has done and was recommended.
    """

    USERS = "users"
    AGGREGATE = "aggregate"


class Form(StrEnum):
    """The format in which tables are printed.

    ``text`` is for people. ``md``, ``csv`` and ``json`` are the content of leaderboard.md, leaderboard.csv and
    leaderboard.json. ``latex`` has the ranking tables for a paper.
    """

    TEXT = "text"
    MD = "md"
    CSV = "csv"
    JSON = "json"
    LATEX = "latex"
