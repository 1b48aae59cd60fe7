"""Random attack: fake users with the targets and random fillers."""

from __future__ import annotations

import numpy as np

from robench.api import IntArray, Interactions, PoisoningAttack, Profiles, Rng


def shuffled_profiles(targets: IntArray, fillers: list[IntArray], generator: np.random.Generator) -> Profiles:
    """Returns one profile per row of fillers.

    Each profile holds all targets and the fillers of its row, in random order.

    Args:
        targets: the promoted items, int64 [T].
        fillers: the other items of each profile, int64 arrays.
        generator: the source of the order.
    """
    return Profiles.of([generator.permutation(np.concatenate([targets, row])) for row in fillers])


class RandomProfiles(PoisoningAttack):
    """Adds fake users with all targets and uniform filler items.

    This is the random attack (RandomBot) of Lam & Riedl (WWW 2004). With implicit feedback, a rating is only an
    interaction, so the random ratings of the original have no counterpart.
    """

    def profiles(
        self, train: Interactions, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng
    ) -> Profiles:
        """Returns ``n_users`` profiles of ``profile_size`` distinct items.

        A profile always has all targets, even if there are more than ``profile_size``. A profile is shorter if the
        catalogue has too few other items.
        """
        generator = rng.numpy()
        others = np.setdiff1d(np.arange(train.n_items), targets)
        count = min(max(profile_size - len(targets), 0), len(others))
        rows = [generator.choice(others, count, replace=False) for _ in range(n_users)]
        return shuffled_profiles(targets, rows, generator)
