"""TODO-DOC."""

from __future__ import annotations

import numpy as np

from robench.api.data import IntArray, Interactions
from robench.api.errors import DataError
from robench.api.rng import Rng
from robench.engine.data.prepare import Prepared
from robench.spec import TargetChoice, UserSample


def evaluated_users(data: Prepared, sample: UserSample | None) -> IntArray:
    """Users with a held-out item and at least one training item, or a seeded sample of them; sorted int64."""
    users = np.flatnonzero((data.test.lengths() > 0) & (data.train.lengths() > 0)).astype(np.int64)
    if sample is None or sample.sample >= len(users):
        return users
    drawn = Rng(sample.seed).child("users").numpy().choice(users, sample.sample, replace=False)
    return np.sort(drawn)


def choose_targets(train: Interactions, choice: TargetChoice) -> list[IntArray]:
    """``sets`` disjoint draws of ``count`` items by training counts; the same for every seed, model and defence.

    ``unpopular``: from the lowest fifth of the catalogue by training count (ties by row); ``popular``: the highest
    fifth; ``random``: any item. Each set is sorted.

    Raises:
        DataError: too few such items.
    """
    by_count = np.argsort(train.counts(), kind="stable").astype(np.int64)
    fifth = max(1, train.n_items // 5)
    pool = {"unpopular": by_count[:fifth], "popular": by_count[-fifth:], "random": np.sort(by_count)}[choice.pick]
    wanted = choice.count * choice.sets
    if wanted > len(pool):
        raise DataError(f"{wanted} {choice.pick} items are wanted as targets, and there are {len(pool)}")
    drawn = Rng(0).child("targets", choice.pick).numpy().permutation(np.sort(pool))[:wanted]
    return [np.sort(part) for part in np.split(drawn, choice.sets)]
