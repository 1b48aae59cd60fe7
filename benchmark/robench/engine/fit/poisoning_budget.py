"""Enforces ε on attacks on training data.

The budget is a number of fake users, or a number of changed interactions.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from robench.api.attacks.poisoning import PoisoningAttack
from robench.api.attacks.profiles import Profiles
from robench.api.data import IntArray, Interactions
from robench.api.errors import PluginError
from robench.api.threat import GoalName, round_up


@dataclass(frozen=True, eq=False)
class ProfileBudget:
    """The limits at ε for the number and the size of profiles.

    Args:
        users: the maximum number of fake users, ⌈ε · real users⌉.
        size: the maximum number of items per profile.
        n_items: the number of items in the catalogue.
        targets: the target items, int64 [T].
        goal: the goal of the attack. If it is ``promote``, every profile must contain all targets. If it is
            ``demote``, no profile may contain a target.
        partial: whether one promoted target per profile is enough. This is True only for profiles that were made
            elsewhere. Attacks with such profiles are never ranked.
    """

    users: int
    size: int
    n_items: int
    targets: IntArray
    goal: GoalName = "promote"
    partial: bool = False

    @classmethod
    def of(
        cls, attack: PoisoningAttack, seen: Interactions, targets: IntArray, epsilon: float, n_users: int
    ) -> ProfileBudget:
        """Returns the budget of an attack at ε.

        If the attack sets no profile size, the size is the median length of the rows that the attack sees, without
        empty rows. If targets are promoted, this size is at least the number of targets. No size exceeds the size of
        the catalogue.

        Args:
            attack: the attack.
            seen: the training items of the users that the attack sees.
            targets: the target items, int64 [T].
            epsilon: the maximum number of fake users as a share of the real users.
            n_users: the number of real users.
        """
        median = int(np.median(seen.lengths()[seen.lengths() > 0])) if len(seen) else 1
        least = len(targets) if attack.goal == "promote" else 1
        size = min(attack.config.profile_size or max(median, least), seen.n_items)
        return cls(round_up(epsilon, n_users), size, seen.n_items, targets, attack.goal, attack.adaptive == "frozen")

    def checked(self, profiles: Profiles) -> Profiles:
        """Checks profiles against the limits and returns the profiles unchanged.

        Raises:
            PluginError: if ``profiles`` has the wrong type, if there are too many profiles, if a profile is not an
                int64 array of one dimension, if it has too many items, if an item is repeated or outside the catalogue,
                if a profile lacks the targets that are promoted, or if it contains a target that is demoted.
        """
        if not isinstance(profiles, Profiles):
            raise PluginError(f"the attack returned {type(profiles).__name__}, not Profiles")
        if not isinstance(profiles.rows, (tuple, list)):
            raise PluginError(f"the rows of Profiles are {type(profiles.rows).__name__}, not a tuple of arrays")
        if len(profiles.rows) > self.users:
            raise PluginError(f"the attack gave {len(profiles.rows)} fake users; its budget is {self.users}")
        for number, row in enumerate(profiles.rows):
            if not (isinstance(row, np.ndarray) and row.dtype == np.int64 and row.ndim == 1):
                raise PluginError(f"fake user {number} is not an int64 array of one dimension")
            if len(row) > self.size:
                raise PluginError(f"fake user {number} has {len(row)} items; the profile size is {self.size}")
            if len(np.unique(row)) != len(row):
                raise PluginError(f"fake user {number} has an item twice")
            if len(row) and (row.min() < 0 or row.max() >= self.n_items):
                raise PluginError(f"fake user {number} has an item outside the catalogue of {self.n_items}")
            present = np.isin(self.targets, row)
            if self.goal == "promote" and len(present) and not (present.any() if self.partial else present.all()):
                raise PluginError(f"fake user {number} lacks a target item")
            if self.goal == "demote" and present.any():
                raise PluginError(f"fake user {number} has a target item, which the attack demotes")
        return profiles


def checked_changes(before: Interactions, after: Interactions, budget: int) -> int:
    """Returns the number of changed interactions, which must be within the budget.

    Raises:
        PluginError: if the number exceeds ``budget``.
    """
    count = count_changes(before, after)
    if count > budget:
        raise PluginError(f"the corruption changed {count} interactions; its budget is {budget}")
    return count


def count_changes(before: Interactions, after: Interactions) -> int:
    """Returns the number of interactions that an attack has changed.

    For each user, the function subtracts the length of the longest common subsequence of the old and the new row from
    the length of the longer row. The result is the sum over all users. Thus, an exchanged, removed, added or moved item
    counts once.
    """
    total = 0
    for user in range(before.n_users):
        old, new = before.row(user), after.row(user)
        if not np.array_equal(old, new):
            total += max(len(old), len(new)) - longest_common_subsequence(old, new)
    return total


def longest_common_subsequence(old: IntArray, new: IntArray) -> int:
    """Returns the length of the longest common subsequence of two rows of items.

    The algorithm is that of Hunt & Szymanski (CACM 1977).
    """
    places: dict[int, list[int]] = {}
    for place in range(len(old) - 1, -1, -1):
        places.setdefault(int(old[place]), []).append(place)
    ends: list[int] = []  # for each length, the smallest place at which a common subsequence ends
    for item in new.tolist():
        for place in places.get(item, ()):
            at = bisect_left(ends, place)
            ends[at : at + 1] = [place]
    return len(ends)
