"""Sparsity: random interactions are lost."""

from __future__ import annotations

from robench.api import Corruption, Interactions, Rng
from robench.api.threat import round_up
from robench_plugins.attacks.corruption.rows import drop_in_order


class Drop(Corruption):
    """Removes random interactions.

    All interactions are equally likely to be removed, but every user keeps at least one.
    """

    def corrupt(self, train: Interactions, *, share: float, rng: Rng) -> Interactions:
        """Removes at most ⌈share · n⌉ of the n interactions and returns the others."""
        return drop_in_order(train, rng.numpy().permutation(len(train)), round_up(share, len(train)))
