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
        """Returns the data without ⌈ε · n⌉ of the n interactions."""
        return drop_in_order(train, rng.numpy().permutation(len(train)), round_up(share, len(train)))
