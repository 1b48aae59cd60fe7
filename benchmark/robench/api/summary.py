"""The summary of a data set: what was read, and what the filters kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Quantiles = tuple[int, int, int, int, int]
QUANTILES = ("min", "25%", "50%", "75%", "max")


@dataclass(frozen=True)
class DataSummary:
    """The counts of a data set before and after its filters.

    Args:
        rows: the number of rows in the source.
        low_ratings: the number of rows that were dropped because of a rating below ``min_rating``.
        repeats: the number of rows that repeat a user-item pair. The setting ``repeats: all`` keeps most of these rows,
            and other settings drop them.
        outside_core: the number of rows that were dropped because a user or an item has too few interactions.
        users: the number of kept users.
        items: the number of kept items.
        interactions: the number of kept interactions.
        parts: the numbers of training, validation and test interactions.
        evaluated: the number of users with a test item and at least one training item or known item.
        first: the earliest kept time, such as ``1995-01-09``. The text is a number if the unit of the times is unknown,
            and empty if there are no times.
        last: the latest kept time, in the same form.
        equal_times: the share of interactions at the same time as another interaction of the same user, or None if
            there are no times.
        per_user: the quantiles of the number of interactions per user: minimum, 25%, 50%, 75% and maximum.
        per_item: the same quantiles of the number of interactions per item.
        described: the number of kept items in which a field is not empty, by the name of the field.
        profiles: the number of kept users with a profile.
        notes: one line about each peculiarity of the data. The lines are shown to the user.
        known: the number of interactions of cold users that are known at test time.
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

    @property
    def dropped_repeats(self) -> int:
        """The number of dropped rows that repeat a user-item pair."""
        return self.rows - self.low_ratings - self.outside_core - self.interactions


def describe_size(summary: DataSummary) -> str:
    """Returns the numbers of interactions, users and items in words.

    For example: ``5 interactions of 1 user and 5 items``.
    """
    nouns = {"interaction": summary.interactions, "user": summary.users, "item": summary.items}
    interactions, users, items = (f"{count:,} {noun}{'s' * (count != 1)}" for noun, count in nouns.items())
    return f"{interactions} of {users} and {items}"


def describe_summary(summary: DataSummary) -> str:
    """Returns a line with the most important numbers of a summary."""
    dropped = summary.rows - summary.interactions
    parts = [f"{summary.rows:,} rows"] + ([f"{dropped:,} dropped"] if dropped else [])
    parts.append(describe_size(summary))
    if summary.first:
        parts.append(f"times {summary.first} to {summary.last}")
    if summary.equal_times:
        parts.append(f"{summary.equal_times:.0%} at equal times")
    return ", ".join(parts)
