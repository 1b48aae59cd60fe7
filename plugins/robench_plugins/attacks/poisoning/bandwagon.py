"""Bandwagon attack: fake users with the targets and the most popular items."""

from __future__ import annotations

import numpy as np
from pydantic import AliasChoices, Field

from robench.api import FloatArray, IntArray, Interactions, Profiles, Rng
from robench_plugins.attacks.poisoning.evading_attack import EvadingAttack, EvadingConfig
from robench_plugins.attacks.poisoning.evasion import Fillers, Judge


class Bandwagon(EvadingAttack):
    """Adds fake users with all targets, popular items and uniform filler items.

    This is the bandwagon attack of Burke et al. (ITWP workshop at IJCAI 2005). Attacks by fake profiles go back to
    O'Mahony et al. (TOIT 2004). In an implicit setting a rating is an interaction, so the ratings of the original have
    no counterpart. The popular items are the same in every profile. By default, the order within a profile is random,
    so sequence models see the targets both before and after popular items. If the goal is not ``promote``, the profiles
    have no targets. Demoted targets fall because popular items rise above them.

    With ``evade``, fillers are exchanged for others, so that the victim's defence suspects the fake users less. Popular
    fillers are kept if possible, but they then differ between profiles.
    """

    class Config(EvadingConfig):
        """Settings of the bandwagon attack."""

        popular_share: float = Field(
            default=0.5,
            ge=0,
            le=1,
            validation_alias=AliasChoices("popular_share", "popular"),
            serialization_alias="popular",
            description="Share of popular items among the items that are not targets; `popular` is the earlier name",
        )

    config: Config

    def profiles(
        self, train: Interactions, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng
    ) -> Profiles:
        """Returns ``n_users`` profiles of ``profile_size`` distinct items.

        A profile that promotes always has all targets, even if there are more than ``profile_size``. A profile is
        shorter if the catalogue has too few other items.
        """
        generator = rng.numpy()
        by_count = np.argsort(-train.counts(), kind="stable")
        by_count = by_count[~np.isin(by_count, targets)]
        places = min(self.count_fillers(targets, profile_size), len(by_count))
        popular = by_count[: round(self.config.popular_share * places)]
        others = by_count[len(popular) :]
        rows = [
            np.concatenate([popular, generator.choice(others, places - len(popular), replace=False)])
            for _ in range(n_users)
        ]
        return self.arranged(targets, rows, train, generator)

    def judge(self, train: Interactions, targets: IntArray, n_users: int, rng: Rng) -> Judge:
        """Returns a function that rates popular fillers highly.

        The value of an item is log(1 + its number of users). The loss is minus the mean value of the fillers.
        """
        values = np.log1p(train.counts())[None, :]

        def judge(fillers: Fillers) -> tuple[float, FloatArray]:
            return -float(values[0, np.concatenate(fillers)].mean()), values

        return judge
