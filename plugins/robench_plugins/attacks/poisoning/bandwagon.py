"""Bandwagon attack: targets among the most popular items."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from robench.api import IntArray, Interactions, PoisoningAttack, PoisoningConfig, Profiles, Rng
from robench_plugins.attacks.poisoning.random_profiles import shuffled_profiles


class Bandwagon(PoisoningAttack):
    """Bandwagon attack (O'Mahony et al., TOIT 2004; Burke et al., 2005): targets, popular items, random fillers.

    Every profile holds all targets; ``popular`` is the share of the remaining places that goes to the most popular
    items (the same for every profile), the rest are uniform fillers. The order is random, so sequence models meet the
    targets behind and before popular items.
    """

    class Config(PoisoningConfig):
        """Settings."""

        popular: float = Field(default=0.5, ge=0, le=1)

    config: Config

    def profiles(
        self, train: Interactions, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng
    ) -> Profiles:
        """``n_users`` profiles of ``profile_size`` distinct items."""
        generator = rng.numpy()
        by_count = np.argsort(-train.counts(), kind="stable")
        by_count = by_count[~np.isin(by_count, targets)]
        places = min(max(profile_size - len(targets), 0), len(by_count))
        bait = by_count[: round(self.config.popular * places)]
        rest = by_count[len(bait) :]
        rows = [
            np.concatenate([bait, generator.choice(rest, places - len(bait), replace=False)]) for _ in range(n_users)
        ]
        return shuffled_profiles(targets, rows, generator)
