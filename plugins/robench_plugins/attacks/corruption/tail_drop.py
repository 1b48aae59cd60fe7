"""Tail drop: the least popular items are lost."""

from __future__ import annotations

import numpy as np

from robench.api import Corruption, Interactions, Rng
from robench.api.threat import round_up
from robench_plugins.attacks.corruption.rows import drop_in_order


class TailDrop(Corruption):
    """Removes the interactions of the least popular items.

    Items lose all interactions, from the item with the fewest interactions upwards, until the budget is spent. Items
    with the same number of interactions are in random order. Every user keeps at least one interaction, which belongs
    to the user's most popular item.
    """

    def corrupt(self, train: Interactions, *, share: float, rng: Rng) -> Interactions:
        """Removes at most ⌈share · n⌉ of the n interactions and returns the others."""
        generator = rng.numpy()
        place = np.empty(train.n_items, dtype=np.int64)
        place[np.lexsort((generator.permutation(train.n_items), train.counts()))] = np.arange(train.n_items)
        order = np.lexsort((generator.permutation(len(train)), place[train.items]))
        return drop_in_order(train, order, round_up(share, len(train)))
