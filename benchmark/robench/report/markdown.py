"""Formats a report as Markdown, for leaderboard.md."""

from __future__ import annotations

from collections.abc import Iterator

from tabulate import tabulate

from robench.api.escapes import markdown_cell, markdown_text
from robench.report.blocks import Block, Bullets, Grid
from robench.report.sections import build_sections, write_opening
from robench.tables.build import Tables


def to_markdown(tables: Tables) -> str:
    """Returns the text of leaderboard.md."""
    parts = [f"# {markdown_text(tables.suite)}", "", markdown_text(write_opening(tables)), ""]
    for section in build_sections(tables):
        parts += [f"## {markdown_text(section.title)}", ""]
        parts += [line for block in section.blocks for line in to_lines(block)]
    return "\n".join(parts).rstrip() + "\n"


def to_lines(block: Block) -> Iterator[str]:
    """Yields the lines of a block, and an empty line at its end."""
    if isinstance(block, Grid):
        body = [[markdown_cell(cell) for cell in row] for row in block.body]
        yield tabulate(body, [markdown_cell(cell) for cell in block.head], tablefmt="github", disable_numparse=True)
    elif isinstance(block, Bullets):
        yield from (f"- {markdown_text(line)}" for line in block.lines)
    else:
        yield markdown_text(block)
    yield ""
