"""The summary of a data set: what was read, and what the filters left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Quantiles = tuple[int, int, int, int, int]
QUANTILES = ("min", "25%", "50%", "75%", "max")


@dataclass(frozen=True)
class DataSummary:
    """The counts of a data set before and after its filters.

    Args:
        rows: the rows that the source holds.
        low_ratings: the rows with a rating below ``min_rating``, which are dropped.
        repeats: the rows that repeat a user-item pair. ``repeats: all`` keeps them, and other settings drop them.
        outside_core: the rows of users or items with too few interactions, which are dropped.
        users: the users that are left.
        items: the items that are left.
        interactions: the interactions that are left.
        parts: the interactions of training, validation and test.
        evaluated: the users with both a training or known item and a test item.
        first: the earliest time that is left, such as ``1995-01-09``, or an empty string if there are no times.
        last: the latest time that is left, in the same form.
        equal_times: the share of interactions whose time equals that of another interaction of the same user. It is
            None if there are no times.
        per_user: the quantiles of the interactions per user: minimum, 25%, 50%, 75% and maximum.
        per_item: the quantiles of the interactions per item.
        described: the number of kept items with a title, a year, genres and a description, by the name of the field.
        profiles: the number of kept users with a profile.
        notes: one line for the user per peculiarity of the data.
        known: the interactions of cold users that are known at test time.
    """

    rows: int = 0
    low_ratings: int = 0
    repeats: int = 0
    outside_core: int = 0
    users: int = 0
    items: int = 0
    interactions: int = 0
    parts: tuple[int, int, int] = (0, 0, 0)
    evaluated: int = 0
    first: str = ""
    last: str = ""
    equal_times: float | None = None
    per_user: Quantiles = (0, 0, 0, 0, 0)
    per_item: Quantiles = (0, 0, 0, 0, 0)
    described: Mapping[str, int] = field(default_factory=dict)
    profiles: int = 0
    notes: tuple[str, ...] = ()
    known: int = 0


def describe_summary(summary: DataSummary) -> str:
    """Returns the summary of a data set in one line."""
    dropped = summary.rows - summary.interactions
    parts = [f"{summary.rows:,} rows"] + ([f"{dropped:,} dropped"] if dropped else [])
    parts.append(f"{summary.interactions:,} interactions of {summary.users:,} users and {summary.items:,} items")
    if summary.first:
        parts.append(f"{summary.first} to {summary.last}")
    if summary.equal_times:
        parts.append(f"{summary.equal_times:.0%} at equal times")
    return ", ".join(parts)
