"""The host's side of attacks on training data: it decides the budget, checks what it gets, and applies it."""

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
class Poisoned:
    """Training data after an attack; rows beyond the real users are fake. ``achieved`` is what the host measured."""

    train: Interactions
    achieved: dict[str, float] = field(default_factory=dict)


def budget_of(epsilon: float, count: int) -> int:
    """⌈ε · count⌉, safe against the rounding of the product (0.07 · 100 is 7, not 8)."""
    return math.ceil(round(epsilon * count, 9))


def fake_profiles(
    attack: PoisoningAttack, train: Interactions, *, targets: IntArray, epsilon: float, rng: Rng
) -> Profiles:
    """Ask the attack for its ⌈ε · real users⌉ profiles and check them.

    Raises:
        PluginError: too many profiles, a wrong size, a repeated or unknown item, or a missing target.
    """
    n_users = budget_of(epsilon, train.n_users)
    median = int(np.median(train.lengths()[train.lengths() > 0])) if len(train) else 1
    size = attack.config.profile_size or max(median, len(targets))
    size = min(size, train.n_items)
    if n_users == 0:
        return Profiles(())
    profiles = attack.profiles(train, targets=targets, n_users=n_users, profile_size=size, rng=rng)
    if len(profiles.rows) > n_users:
        raise PluginError(f"the attack gave {len(profiles.rows)} fake users; its budget is {n_users}")
    for number, row in enumerate(profiles.rows):
        if len(row) > size:
            raise PluginError(f"fake user {number} has {len(row)} items; the profile size is {size}")
        if len(np.unique(row)) != len(row):
            raise PluginError(f"fake user {number} has an item twice")
        if len(row) and (row.min() < 0 or row.max() >= train.n_items):
            raise PluginError(f"fake user {number} has an item outside the catalogue of {train.n_items}")
        if not np.isin(targets, row).all():
            raise PluginError(f"fake user {number} lacks a target item")
    return profiles


def changed(before: Interactions, after: Interactions) -> int:
    """Interactions that differ, counted per user: the larger of those lost and those gained."""
    total = 0
    for user in range(before.n_users):
        old, new = before.row(user), after.row(user)
        lost = len(np.setdiff1d(old, new))
        gained = len(np.setdiff1d(new, old)) + (len(new) - len(np.unique(new)))
        total += max(lost, gained)
    return total


def poison(attack: Attack, train: Interactions, *, targets: IntArray, epsilon: float, rng: Rng) -> Poisoned:
    """Apply a train-stage attack within ε, real users first.

    Raises:
        PluginError: the attack left its budget or its contract.
    """
    if isinstance(attack, PoisoningAttack):
        rows = fake_profiles(attack, train, targets=targets, epsilon=epsilon, rng=rng).rows
        achieved = {
            "epsilon": len(rows) / train.n_users,
            "fake_users": len(rows),
            "fake_interactions": sum(len(row) for row in rows),
        }
        return Poisoned(train.appended(rows), achieved)
    if isinstance(attack, Corruption):
        budget = budget_of(epsilon, len(train))
        after = attack.corrupt(train, share=epsilon, rng=rng) if budget else train
        if (after.n_users, after.n_items) != (train.n_users, train.n_items):
            raise PluginError("a corruption must keep users and items")
        count = changed(train, after)
        if count > budget:
            raise PluginError(f"the corruption changed {count} interactions; its budget is {budget}")
        return Poisoned(after, {"epsilon": count / max(1, len(train)), "changed_interactions": count})
    raise PluginError(f"{type(attack).__name__} is neither a PoisoningAttack nor a Corruption")
