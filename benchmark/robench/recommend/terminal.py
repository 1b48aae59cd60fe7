"""Prints recommended items on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from robench.api.escapes import visible

if TYPE_CHECKING:
    from robench.recommend.query import Recommendation


def print_recommendations(recommendations: Sequence[Recommendation], console: Console) -> None:
    """Prints one table per victim, with the recipient and the path of the checkpoint."""
    for one in recommendations:
        console.print(f"{one.victim} on {one.data}", highlight=False, soft_wrap=True)
        console.print(visible(one.recipient), highlight=False, soft_wrap=True)
        table = Table("place", "item", "title", "score")
        for place, line in enumerate(one.lines, 1):
            title = visible(line.title) + ("  (held out)" if line.held_out else "")
            table.add_row(str(place), visible(line.item), title, f"{line.score:.6g}")
        console.print(table)
        console.print(f"checkpoint: {one.checkpoint}", highlight=False, soft_wrap=True)
