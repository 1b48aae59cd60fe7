"""Copy attack: fake users with the targets and a part of a real user's items."""

from __future__ import annotations

import numpy as np

from robench.api import IntArray, Interactions, Profiles, Rng
from robench_plugins.attacks.poisoning.fake_users import FakeUserAttack


class CopyProfile(FakeUserAttack):
    """Adds fake users with all targets and a part of a real user's items.

    The copied items have the popularity, the co-occurrence and the order of items in a real row. So the copy is hard to
    detect. It is the template from which AUSH (Lin et al., CIKM 2020) and Leg-UP (Lin et al., TNNLS 2022) start. In
    these attacks, a generative adversarial network learns ratings for the items of the template, and never chooses
    other items. In an implicit setting there are no ratings, so both attacks reduce to this one. Therefore robench has
    no AUSH and no Leg-UP. If the goal is not ``promote``, the profiles have no targets.

    A real user can be copied if the user has enough items that are not targets. If no real user has enough, the
    profiles are shorter. No real user is copied twice if enough real users can be copied.
    """

    def profiles(
        self, train: Interactions, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng
    ) -> Profiles:
        """Returns ``n_users`` profiles of at most ``profile_size`` distinct items.

        A profile that promotes always has all targets, even if there are more than ``profile_size``. The copied items
        are a random subset, in the order of the real user.
        """
        generator = rng.numpy()
        rows = [_distinct_others(train.row(user), targets) for user in range(train.n_users)]
        lengths = np.array([len(row) for row in rows])
        count = min(self.count_fillers(targets, profile_size), int(lengths.max(initial=0)))
        donors = np.flatnonzero(lengths >= count)
        drawn = [donors[:0]]
        while sum(map(len, drawn)) < n_users:
            drawn.append(generator.permutation(donors))
        copies = []
        for donor in np.concatenate(drawn)[:n_users].tolist():
            kept = np.sort(generator.choice(lengths[donor], count, replace=False))
            copies.append(rows[donor][kept])
        held = targets if self.config.goal == "promote" else targets[:0]
        return self.placed(held, copies, train, generator)


def _distinct_others(row: IntArray, targets: IntArray) -> IntArray:
    """Returns the first occurrence of each item of a row, without targets."""
    first = np.sort(np.unique(row, return_index=True)[1])
    items = row[first]
    others: IntArray = items[~np.isin(items, targets)]
    return others
