"""Random attack: fake users with the targets and random fillers."""

from __future__ import annotations

import numpy as np

from robench.api import IntArray, Interactions, Profiles, Rng
from robench_plugins.attacks.poisoning.fake_users import FakeUserAttack


class RandomProfiles(FakeUserAttack):
    """Adds fake users with all targets and uniform filler items.

    This is the random attack (RandomBot) of Lam & Riedl (WWW 2004). In an implicit setting a rating is an interaction,
    so the random ratings of the original have no counterpart. If the goal is not ``promote``, the profiles have no
    targets.
    """

    def profiles(
        self, train: Interactions, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng
    ) -> Profiles:
        """Returns ``n_users`` profiles of ``profile_size`` distinct items.

        A profile that promotes always has all targets, even if there are more than ``profile_size``. A profile is
        shorter if the catalogue has too few other items.
        """
        generator = rng.numpy()
        others = np.setdiff1d(np.arange(train.n_items), targets)
        count = min(self.count_fillers(targets, profile_size), len(others))
        rows = [generator.choice(others, count, replace=False) for _ in range(n_users)]
        return self.arranged(targets, rows, train, generator)
