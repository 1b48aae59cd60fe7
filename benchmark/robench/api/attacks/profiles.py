"""The profiles of fake users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from robench.api.data import IntArray


@dataclass(frozen=True)
class Profiles:
    """The profiles of fake users, as lists of items.

    Args:
        rows: the items of each fake user, oldest first, one int64 array per user. No profile may repeat an item.
        costs: what the attack spent on the profiles, by name, such as the training steps of a model of its own. The
            host stores these numbers as the attack reports them.
    """

    rows: tuple[IntArray, ...]
    costs: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def of(rows: list[list[int]] | list[IntArray], costs: Mapping[str, float] | None = None) -> Profiles:
        """Returns the profiles of fake users, given one list of items per user."""
        return Profiles(tuple(np.asarray(row, dtype=np.int64) for row in rows), dict(costs or {}))
