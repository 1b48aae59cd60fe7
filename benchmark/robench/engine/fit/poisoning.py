"""Enforces ε on attacks on training data: fake users and changed interactions."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from robench.api.attacks.base import Attack
from robench.api.attacks.poisoning import Corruption, PoisoningAttack, Profiles
from robench.api.data import IntArray, Interactions
from robench.api.errors import PluginError
from robench.api.rng import Rng


@dataclass(frozen=True, eq=False)
class PoisonedData:
    """Training data after an attack.

    Args:
        train: the attacked training data. Rows after those of the real users are fake.
        achieved: the spent budget, as the host measured it.
    """

    train: Interactions
    achieved: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ProfileBudget:
    """The number and size of the fake users' profiles at ε.

    Args:
        users: the number of fake users, ⌈ε · real users⌉.
        size: the number of items of a profile.
        n_items: the size of the catalogue.
        targets: the items that every profile must hold, int64 [T].
    """

    users: int
    size: int
    n_items: int
    targets: IntArray

    @classmethod
    def of(cls, attack: PoisoningAttack, train: Interactions, targets: IntArray, epsilon: float) -> ProfileBudget:
        """Returns the budget of an attack at ε.

        If the attack sets no profile size, the size is the median length of a training row.
        """
        median = int(np.median(train.lengths()[train.lengths() > 0])) if len(train) else 1
        size = min(attack.config.profile_size or max(median, len(targets)), train.n_items)
        return cls(round_up(epsilon, train.n_users), size, train.n_items, targets)

    def checked(self, profiles: Profiles) -> Profiles:
        """Checks profiles and returns them unchanged.

        Raises:
            PluginError: if there are too many profiles. Also if a profile lacks a target, or has too many, repeated or
                unknown items.
        """
        if len(profiles.rows) > self.users:
            raise PluginError(f"the attack gave {len(profiles.rows)} fake users; its budget is {self.users}")
        for number, row in enumerate(profiles.rows):
            if len(row) > self.size:
                raise PluginError(f"fake user {number} has {len(row)} items; the profile size is {self.size}")
            if len(np.unique(row)) != len(row):
                raise PluginError(f"fake user {number} has an item twice")
            if len(row) and (row.min() < 0 or row.max() >= self.n_items):
                raise PluginError(f"fake user {number} has an item outside the catalogue of {self.n_items}")
            if not np.isin(self.targets, row).all():
                raise PluginError(f"fake user {number} lacks a target item")
        return profiles


def round_up(epsilon: float, count: int) -> int:
    """Returns ⌈ε · count⌉.

    It ignores rounding errors of the product: 0.07 · 100 gives 7, not 8.
    """
    return math.ceil(round(epsilon * count, 9))


def poison(attack: Attack, train: Interactions, *, targets: IntArray, epsilon: float, rng: Rng) -> PoisonedData:
    """Runs an attack on training data within ε and applies it.

    Args:
        attack: a ``PoisoningAttack`` or a ``Corruption``.
        train: one row per real user.
        targets: the promoted items, int64 [T].
        epsilon: the share of fake users, or of changed interactions.
        rng: the random stream of the attack.

    Raises:
        PluginError: if the attack exceeds its budget or breaks its contract.
    """
    if isinstance(attack, PoisoningAttack):
        return add_profiles(train, make_profiles(attack, train, targets=targets, epsilon=epsilon, rng=rng))
    if isinstance(attack, Corruption):
        return corrupt(attack, train, epsilon=epsilon, rng=rng)
    raise PluginError(f"{type(attack).__name__} is neither a PoisoningAttack nor a Corruption")


def make_profiles(
    attack: PoisoningAttack, train: Interactions, *, targets: IntArray, epsilon: float, rng: Rng
) -> Profiles:
    """Asks an attack for its ⌈ε · real users⌉ profiles and checks them.

    Raises:
        PluginError: if they are over budget or break the contract of profiles.
    """
    budget = ProfileBudget.of(attack, train, targets, epsilon)
    if budget.users == 0:
        return Profiles(())
    profiles = attack.profiles(train, targets=targets, n_users=budget.users, profile_size=budget.size, rng=rng)
    return budget.checked(profiles)


def add_profiles(train: Interactions, profiles: Profiles) -> PoisonedData:
    """Appends checked profiles to the training data, after the real users."""
    rows = profiles.rows
    achieved = {
        "epsilon": len(rows) / train.n_users,
        "fake_users": len(rows),
        "fake_interactions": sum(len(row) for row in rows),
    }
    return PoisonedData(train.appended(rows), achieved)


def corrupt(attack: Corruption, train: Interactions, *, epsilon: float, rng: Rng) -> PoisonedData:
    """Lets an attack change at most ⌈ε · interactions⌉ of the training data.

    Raises:
        PluginError: if the attack changes more interactions, or changes the number of users or items.
    """
    budget = round_up(epsilon, len(train))
    after = attack.corrupt(train, share=epsilon, rng=rng) if budget else train
    if (after.n_users, after.n_items) != (train.n_users, train.n_items):
        raise PluginError("a corruption must keep users and items")
    count = count_changes(train, after)
    if count > budget:
        raise PluginError(f"the corruption changed {count} interactions; its budget is {budget}")
    return PoisonedData(after, {"epsilon": count / max(1, len(train)), "changed_interactions": count})


def count_changes(before: Interactions, after: Interactions) -> int:
    """Counts the interactions that differ.

    Each user contributes the number of lost or of gained interactions, whichever is larger.
    """
    total = 0
    for user in range(before.n_users):
        old, new = before.row(user), after.row(user)
        lost = len(np.setdiff1d(old, new))
        gained = len(np.setdiff1d(new, old)) + (len(new) - len(np.unique(new)))
        total += max(lost, gained)
    return total
