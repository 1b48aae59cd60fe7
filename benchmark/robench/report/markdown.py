"""leaderboard.md: the tables for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tabulate import tabulate

from robench.report.blocks import Block, Bullets, Grid
from robench.report.sections import opening, sections

if TYPE_CHECKING:
    from robench.tables.build import Tables


def to_markdown(tables: Tables) -> str:
    """The whole document."""
    parts = [f"# {tables.suite}", "", opening(tables), ""]
    for section in sections(tables):
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
    """On one line, without HTML: labels, titles and errors are other people's."""
    return " ".join(text.splitlines()).replace("<", "&lt;")
