"""Measures how far a model's scores are from a sum over the items of a history."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robench.api.data import IntArray, Interactions
from robench.api.models.base import Model
from robench.api.rng import Rng

USERS = 64  # the number of users whose histories are edited
TINY = 1e-30  # prevents division by a spread of 0
ROUNDING = 1e-3  # the largest difference that counts as rounding, in standard deviations of the scores


def additive_error(model: Model, histories: Interactions, users: IntArray, rng: Rng) -> float:
    """Returns how far scores are from a sum over the items of a history.

    The unit is the standard deviation of the genuine scores.

    For up to 64 users, one random item is replaced by a new item. The scores must then be the scores without the old
    item, plus the scores with both items, minus the genuine scores. The scores of a history with only these two items
    must be the sum of each item's own scores. The result is the largest deviation, or 0 if no user has two items.

    Args:
        model: the victim.
        histories: the genuine histories, one row per real user.
        users: the evaluated users, int64 [U].
        rng: a stream of the host.
    """
    generator = rng.numpy()
    enough = users[histories.lengths()[users] > 1]
    chosen = np.sort(generator.permutation(enough)[:USERS])
    if not len(chosen):
        return 0.0
    genuine = [histories.row(user) for user in chosen]
    places = [int(generator.integers(len(row))) for row in genuine]
    new = [generator.choice(np.setdiff1d(np.arange(histories.n_items), row), 1) for row in genuine]
    old = [row[[place]] for row, place in zip(genuine, places, strict=True)]
    shorter = [np.delete(row, place) for row, place in zip(genuine, places, strict=True)]

    def scores(*parts: list[IntArray]) -> NDArray[np.float64]:
        """Returns the scores of joined parts of histories, float64 [chosen, n_items]."""
        rows = [np.empty(0, dtype=np.int64)] * histories.n_users
        for user, *own in zip(chosen, *parts, strict=True):
            rows[user] = np.concatenate(own)
        return model.scores(chosen, Interactions.from_rows(rows, histories.n_items)).astype(np.float64)

    clean = scores(genuine)
    gaps = (
        scores(shorter, new) - scores(shorter) - scores(genuine, new) + clean,
        scores(old, new) - scores(old) - scores(new),
    )
    return max(float(np.abs(gap).max()) for gap in gaps) / max(float(clean.std()), TINY)
