"""Divides the users into those that an attack knows and those it is tested on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robench.api.data import IntArray, Interactions, joined
from robench.api.errors import DataError
from robench.api.rng import Rng

LEAST_ITEMS = 5  # the fewest distinct items of a user, as of the cold users of the split
LEAST_USERS = 10  # the fewest users of each group


@dataclass(frozen=True, eq=False)
class Groups:
    """The users of a membership attack, each int64 and sorted.

    Args:
        shadow: the further users to which the shadow is fitted.
        outside: the further users to which it is not fitted.
        members: the tested users to which the victim is fitted.
        non_members: the tested users to which it is not fitted.
    """

    shadow: IntArray
    outside: IntArray
    members: IntArray
    non_members: IntArray

    @property
    def further(self) -> IntArray:
        """The users that the attack knows, whether or not they are members: int64."""
        return np.sort(np.concatenate([self.shadow, self.outside]))


def draw_groups(train: Interactions, history: Interactions, held: Interactions) -> Groups:
    """Returns the groups, which are the same for every victim of the same data.

    Members are the users with training items, and non-members are the cold users of the test. Only users with at least
    5 distinct items count, because the split draws cold users from these. A random half of all these users are the
    further users, whose membership the attack does not know. The shadow is fitted to a random half of them.

    Args:
        train: the training items, one row per real user.
        history: the known items at test time, one row per real user.
        held: the held-out items, one row per real user.

    Raises:
        DataError: if a group would have fewer than ten users.
    """
    rng = Rng(0).child("membership")
    member = (train.lengths() > 0) & (_distinct(train) >= LEAST_ITEMS)
    other = (train.lengths() == 0) & (held.lengths() > 0) & (_distinct(joined(history, held)) >= LEAST_ITEMS)
    users = np.flatnonzero(member | other).astype(np.int64)
    drawn = rng.child("further").numpy().permutation(users)
    further, tested = drawn[: len(users) // 2], np.sort(drawn[len(users) // 2 :])
    shadow, outside = further[: len(further) // 2], further[len(further) // 2 :]
    groups = Groups(np.sort(shadow), np.sort(outside), tested[member[tested]], tested[other[tested]])
    if min(map(len, (groups.shadow, groups.outside, groups.members, groups.non_members))) < LEAST_USERS:
        problem = f"a membership attack needs at least {LEAST_USERS} members and non-members to learn from and to test"
        raise DataError(problem, hint="give the split cold-users a larger share for the test")
    return groups


def _distinct(rows: Interactions) -> NDArray[np.int64]:
    """Returns the number of distinct items of each user, int64 [n_users]."""
    return np.bincount(np.unique(rows.keys) // rows.n_items, minlength=rows.n_users).astype(np.int64)
