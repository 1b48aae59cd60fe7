"""Builds the text of index.html, a single file with all tables and pictures.

The page loads no other file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup, escape

from robench.api.escapes import visible
from robench.report.attacks import MEMBERS, MEMBERS_TITLE
from robench.report.blocks import Block, Bullets, Grid, Section
from robench.report.page.board import build_boards
from robench.report.page.columns import WORST_CASE
from robench.report.page.details import make_context
from robench.report.page.guide import choose_terms
from robench.report.page.headlines import build_headlines
from robench.report.page.heat import build_heat_maps
from robench.report.page.membership_verdict import build_membership_grid, write_membership_verdict
from robench.report.page.pictures import make_pictures
from robench.report.page.tested import list_commands, list_facts, write_citation, write_origin, write_tested
from robench.report.sections import build_further_sections, write_opening
from robench.tables.build import Tables

FILES = ("leaderboard.csv", "leaderboard.json", "leaderboard.md", "cells.csv", "timings.csv", "plan.json", "suite.yaml")
FINDINGS = ("Certified against fake users", "Membership", "Differential privacy")  # first on boards without ranks
MANY_ROWS = 40  # a section whose tables have more rows is closed until the reader opens it
_NUMBER = re.compile(r"(–|[-+]?[\d,]*\.?\d+(e[-+]\d+)?%?( \(\d+–\d+\)| of \d+| \[.*\])?)?")


def to_page(tables: Tables, *, drawn: bool = True) -> str:
    """Returns the text of index.html.

    Labels, titles and errors come from users, so the page shows them escaped. If the pictures cannot be drawn, the page
    and the log say so.

    Args:
        tables: the tables of a folder.
        drawn: whether to draw pictures.
    """
    sections = _order(list(build_further_sections(tables)), ranked=bool(tables.leaderboard))
    pictures = make_pictures(tables, sections, drawn=drawn)
    context = make_context(tables)
    further = [
        {
            "id": f"section-{number}",
            "title": section.title,
            "blocks": _shorten(section, tables),
            "pictures": pictures.sections[number],
            "open": _opens(section, ranked=bool(tables.leaderboard)),
        }
        for number, section in enumerate(sections)
    ]
    content = {
        "suite": tables.suite,
        "tested": write_tested(tables),
        "opening": write_opening(tables),
        "origin": write_origin(tables),
        "headlines": build_headlines(tables),
        "facts": list_facts(tables),
        "commands": list_commands(tables),
        "citation": write_citation(tables),
        "boards": list(zip(build_boards(tables, context), pictures.boards, strict=True)),
        "heat_maps": build_heat_maps(tables, context.points),
        "worst_case": ",".join(WORST_CASE),
        "sections": further,
        "findings": FINDINGS,
        "membership": write_membership_verdict(tables),
        "membership_grids": build_membership_grid(tables),
        "terms": choose_terms(
            ranked=bool(tables.leaderboard),
            targets=any(table.targets for table in tables.leaderboard),
            private=bool(tables.membership or tables.privacy),
        ),
        "files": FILES,
        "undrawn": not pictures.drawn,
        "style": Markup(_read("style.css")),
        "script": Markup(_read("script.js")),
    }
    return load_template().render(**content) + "\n"


@cache
def load_template() -> Template:
    """Returns the template of the page, which is compiled once per process."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_finalize
    )
    environment.filters |= {
        "inline": _inline,
        "interval": _interval,
        "verdict": _verdict,
        "command": _command,
        "kind": _kind,
        "numeric": _numeric,
    }
    return environment.from_string(_read("page.html"))


def _order(sections: list[Section], *, ranked: bool) -> list[Section]:
    """Returns the sections, with the findings first on a board without ranks."""
    place = {title: number for number, title in enumerate(FINDINGS)}
    return sections if ranked else sorted(sections, key=lambda section: place.get(section.title, len(place)))


def _opens(section: Section, *, ranked: bool) -> bool:
    rows = sum(len(block.body) for block in section.blocks if isinstance(block, Grid))
    return rows <= MANY_ROWS or (section.title in FINDINGS and not ranked)


def _shorten(section: Section, tables: Tables) -> Sequence[Block]:
    """Returns the blocks of a section.

    If the details of the rows hold all numbers about ensemble members, a sentence replaces the table of members.
    """
    shown = {(row.key, table.threat) for table in tables.leaderboard for row in table.rows}
    if section.title == MEMBERS_TITLE and all((one.key, one.threat) in shown for one in tables.ensembles):
        return [MEMBERS, "The details of each row hold these numbers."]
    return section.blocks


def _read(name: str) -> str:
    return files("robench.report.page").joinpath(name).read_text(encoding="utf-8")


def _inline(text: str) -> Markup:
    """Returns escaped text in which ``**bold**`` and `` `code` `` are HTML elements."""
    bold = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(visible(text))))
    return Markup(re.sub(r"`(.+?)`", r"<code>\1</code>", bold))  # the text is escaped above


def _interval(text: str) -> Markup:
    """Returns escaped text in which the bounds of an interval are a second line."""
    return Markup(re.sub(r" (\[.*\])$", r" <small>\1</small>", str(escape(visible(text)))))  # the text is escaped


def _verdict(text: str) -> Markup:
    """Returns an escaped verdict with its last phrase on a second line."""
    return Markup(re.sub(r"; (.*)$", r"; <small>\1</small>", str(escape(visible(text)))))  # the text is escaped


def _command(text: str) -> Markup:
    """Returns a command that is escaped, except for its single quotes."""
    return Markup(str(escape(visible(text))).replace("&#39;", "'"))  # the text is escaped


def _finalize(value: object) -> object:
    """Marks the invisible characters of a string before the template shows it.

    Markup and other values are returned unchanged.
    """
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _kind(block: Block) -> str:
    if isinstance(block, Grid):
        return "grid"
    return "bullets" if isinstance(block, Bullets) else "text"


def _numeric(grid: Grid) -> list[bool]:
    """Returns whether each column holds numbers.

    The page aligns such columns to the right.
    """
    columns = zip(*grid.body, strict=True) if grid.body else [()] * len(grid.head)
    return [all(_NUMBER.fullmatch(cell) for cell in column) and any(column) for column in columns]
