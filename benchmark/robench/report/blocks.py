"""The parts from which a report is built.

The package writes these parts as Markdown, as HTML and on the terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robench.tables.detection import DetectionRow
from robench.tables.leaderboard import LeaderboardTable
from robench.tables.twins import TwinRow


@dataclass(frozen=True)
class Grid:
    """A table of strings with a header row."""

    head: Sequence[str]
    body: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Bullets:
    """A list with one line per entry."""

    lines: Sequence[str]


Block = str | Grid | Bullets  # A string is a paragraph. Its only markup is ``**bold**`` and `` `code` ``.


@dataclass(frozen=True)
class LeaderboardChart:
    """A chart of the clean and attacked values of one leaderboard table."""

    table: LeaderboardTable


@dataclass(frozen=True)
class TwinsChart:
    """Charts that compare defended models with their twins."""

    rows: Sequence[TwinRow]


@dataclass(frozen=True)
class DetectionChart:
    """Charts of the ROC curves of detectors."""

    rows: Sequence[DetectionRow]


Chart = LeaderboardChart | TwinsChart | DetectionChart


@dataclass(frozen=True)
class Section:
    """A heading with the content below it.

    Args:
        title: the title.
        blocks: the blocks, in order.
        chart: the chart that the HTML page draws above the blocks.
    """

    title: str
    blocks: Sequence[Block]
    chart: Chart | None = None
