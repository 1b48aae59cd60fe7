"""Returns a comparison as pandas frames, for ``robench.compare``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from robench.api.codec import columns, encode
from robench.api.errors import UserError
from robench.comparison.board import compare_boards
from robench.comparison.differences import Difference
from robench.comparison.obstacles import Obstacle
from robench.host.discovery import Host
from robench.host.registry import Registry


@dataclass(frozen=True, eq=False)
class ComparisonFrames:
    """A comparison of two folders or two rows.

    Args:
        differences: one row per compared value, with the difference B minus A. The columns are those that ``--format
            csv`` prints.
        obstacles: what cannot be compared (``what``), and the reason (``why``).
        notes: what a reader must know about both sides, such as copied records.
    """

    differences: pd.DataFrame
    obstacles: pd.DataFrame
    notes: tuple[str, ...]


def compare_to_frames(a: str | Path, b: str | Path | None, rows: str | Iterable[str]) -> ComparisonFrames:
    """Compares two folders or two rows, as ``compare_boards`` does.

    Raises:
        UserError: if a folder cannot be read, or if a row is unknown, ambiguous or missing.
    """
    for folder in (a, b):
        if not isinstance(folder, str | Path | None):
            raise UserError(f"a folder is a path, not {type(folder).__name__}")
    names = (rows,) if isinstance(rows, str) else tuple(rows)
    comparison = compare_boards(Path(a), None if b is None else Path(b), names, Registry.of(Host.discover()))
    return ComparisonFrames(
        pd.DataFrame([encode(one) for one in comparison.differences], columns=columns(Difference)),
        pd.DataFrame([encode(one) for one in comparison.obstacles], columns=columns(Obstacle)),
        comparison.notes,
    )
