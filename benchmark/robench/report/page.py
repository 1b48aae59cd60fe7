"""index.html: the sections of leaderboard.md with pictures, in one file without scripts that loads nothing."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from robench.report.blocks import Block, Bullets, Grid
from robench.report.charts import charts
from robench.report.sections import opening, sections

if TYPE_CHECKING:
    from robench.leaderboard import Tables

FILES = ("leaderboard.csv", "leaderboard.json", "leaderboard.md", "cells.csv", "plan.json", "suite.yaml")
_WRITTEN = re.compile(r"[-−]?[.\d–%]")  # how a number, an interval or a dash begins


def to_page(tables: Tables) -> str:
    """The whole document. What users wrote (labels, titles, errors) is escaped; the text is the same in every run."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"inline": _inline, "kind": _kind, "numeric": _numeric}
    source = files("robench.report").joinpath("page.html").read_text(encoding="utf-8")
    shown = [
        {
            "id": f"section-{number}",
            "title": section.title,
            "blocks": section.blocks,
            "pictures": [(caption, Markup(svg)) for caption, svg in charts(section)],  # vega escapes text
        }
        for number, section in enumerate(sections(tables))
    ]
    made = environment.from_string(source)
    return made.render(suite=tables.suite, opening=opening(tables), sections=shown, files=FILES) + "\n"


def _inline(text: str) -> Markup:
    """Escaped, with ``**bold**`` and `` `code` ``."""
    bold = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", str(escape(text)))
    return Markup(re.sub(r"`(.+?)`", r"<code>\1</code>", bold))  # escaped above


def _kind(block: Block) -> str:
    if isinstance(block, Grid):
        return "grid"
    return "bullets" if isinstance(block, Bullets) else "text"


def _numeric(cell: str) -> bool:
    """Whether it stands to the right, as numbers do."""
    return _WRITTEN.match(cell) is not None
