"""The choices of ``--tables`` and ``--format`` on the command line."""

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
