"""Bandwagon attack: fake users with the targets and the most popular items."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from robench.api import IntArray, Interactions, PoisoningAttack, PoisoningConfig, Profiles, Rng
from robench_plugins.attacks.poisoning.random_profiles import shuffled_profiles


class Bandwagon(PoisoningAttack):
    """Adds fake users with all targets, popular items and uniform filler items.

    This is the bandwagon attack of Burke et al. (ITWP workshop at IJCAI 2005). Attacks by fake profiles go back to
    O'Mahony et al. (TOIT 2004). With implicit feedback, a rating is only an interaction, so the ratings of the original
    have no counterpart. The popular items are the same in every profile. The order within a profile is random, so
    sequence models see the targets both before and after popular items.
    """

    class Config(PoisoningConfig):
        """Settings of the bandwagon attack."""

        popular: float = Field(
            default=0.5, ge=0, le=1, description="Share of popular items among the items that are not targets"
        )

    config: Config

    def profiles(
        self, train: Interactions, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng
    ) -> Profiles:
        """Returns ``n_users`` profiles of ``profile_size`` distinct items.

        A profile always has all targets, even if there are more than ``profile_size``. A profile is shorter if the
        catalogue has too few other items.
        """
        generator = rng.numpy()
        by_count = np.argsort(-train.counts(), kind="stable")
        by_count = by_count[~np.isin(by_count, targets)]
        places = min(max(profile_size - len(targets), 0), len(by_count))
        popular = by_count[: round(self.config.popular * places)]
        others = by_count[len(popular) :]
        rows = [
            np.concatenate([popular, generator.choice(others, places - len(popular), replace=False)])
            for _ in range(n_users)
        ]
        return shuffled_profiles(targets, rows, generator)
