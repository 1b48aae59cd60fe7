"""Writes leaderboard.md."""

from __future__ import annotations

from collections.abc import Iterator

from tabulate import tabulate

from robench.report.blocks import Block, Bullets, Grid
from robench.report.sections import build_sections, write_opening
from robench.tables.build import Tables


def to_markdown(tables: Tables) -> str:
    """Returns the whole document."""
    parts = [f"# {tables.suite}", "", write_opening(tables), ""]
    for section in build_sections(tables):
        parts += [f"## {_safe(section.title)}", ""]
        parts += [line for block in section.blocks for line in _lines(block)]
    return "\n".join(parts).rstrip() + "\n"


def _lines(block: Block) -> Iterator[str]:
    if isinstance(block, Grid):
        body = [[_safe(cell).replace("|", "\\|") for cell in row] for row in block.body]
        yield tabulate(body, block.head, tablefmt="github", disable_numparse=True)
    elif isinstance(block, Bullets):
        yield from (f"- {_safe(line)}" for line in block.lines)
    else:
        yield _safe(block)
    yield ""


def _safe(text: str) -> str:
    """Returns text on one line and without HTML.

    This is needed because users wrote the labels, titles and errors.
    """
    return " ".join(text.splitlines()).replace("<", "&lt;")
