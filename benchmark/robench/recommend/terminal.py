"""Recommended items on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from robench.recommend.lists import Recommendation


def print_recommendations(found: Sequence[Recommendation], console: Console) -> None:
    """A table per victim, with whom it is for and where the victim's checkpoint lies."""
    for one in found:
        console.print(f"{one.victim} on {one.data}", highlight=False, soft_wrap=True)
        console.print(one.who, highlight=False, soft_wrap=True)
        table = Table("place", "item", "title", "score")
        for place, line in enumerate(one.lines, 1):
            title = f"{line.title}  (held out)" if line.held_out else line.title
            table.add_row(str(place), line.item, title, f"{line.score:.6g}")
        console.print(table)
        console.print(f"checkpoint: {one.checkpoint}", highlight=False, soft_wrap=True)
