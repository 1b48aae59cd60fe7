"""Writes index.html, a file that holds all sections and pictures and loads nothing."""

from __future__ import annotations

import re
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from robench.api.escapes import visible
from robench.report.blocks import Block, Bullets, Grid
from robench.report.charts import draw_charts
from robench.report.sections import build_sections, write_opening
from robench.tables.build import Tables

FILES = ("leaderboard.csv", "leaderboard.json", "leaderboard.md", "cells.csv", "timings.csv", "plan.json", "suite.yaml")
_NUMBER = re.compile(r"(–|[-+]?\d*\.?\d+(e[-+]\d+)?%?( \(\d+–\d+\)| of \d+| \[.*\])?)?")


def to_page(tables: Tables) -> str:
    """Returns the whole document. Equal tables give equal text.

    Labels, titles and errors are escaped, because users wrote them.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_finalize
    )
    environment.filters |= {"inline": _inline, "kind": _kind, "numeric": _numeric}
    source = files("robench.report").joinpath("page.html").read_text(encoding="utf-8")
    shown = [
        {
            "id": f"section-{number}",
            "title": section.title,
            "blocks": section.blocks,
            "pictures": [(caption, Markup(svg)) for caption, svg in draw_charts(section)],  # vega escapes text
        }
        for number, section in enumerate(build_sections(tables))
    ]
    template = environment.from_string(source)
    return template.render(suite=tables.suite, opening=write_opening(tables), sections=shown, files=FILES) + "\n"


def _inline(text: str) -> Markup:
    """Returns escaped text with ``**bold**`` and `` `code` `` as elements."""
    bold = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(visible(text))))
    return Markup(re.sub(r"`(.+?)`", r"<code>\1</code>", bold))  # escaped above


def _finalize(value: object) -> object:
    """Returns what the template writes: a text without control characters. Markup is written as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _kind(block: Block) -> str:
    if isinstance(block, Grid):
        return "grid"
    return "bullets" if isinstance(block, Bullets) else "text"


def _numeric(grid: Grid) -> list[bool]:
    """Returns which columns hold numbers, which are aligned to the right."""
    columns = zip(*grid.body, strict=True) if grid.body else [()] * len(grid.head)
    return [all(_NUMBER.fullmatch(cell) for cell in column) and any(column) for column in columns]
