"""What a report is made of, before it is Markdown or HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

ChartKind = Literal["leaderboard", "curves", "twins"]


@dataclass(frozen=True)
class Grid:
    """A table: its header and rows of written cells."""

    head: Sequence[str]
    body: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Bullets:
    """A list, a line each."""

    lines: Sequence[str]


Block = str | Grid | Bullets  # a string is a paragraph; ``**bold**`` and `` `code` `` are all the markup there is


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it.

    Args:
        title: in plain words.
        blocks: in order.
        chart: what the page draws above them.
        source: the rows that it draws, as in leaderboard.json.
    """

    title: str
    blocks: Sequence[Block]
    chart: ChartKind | None = None
    source: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
