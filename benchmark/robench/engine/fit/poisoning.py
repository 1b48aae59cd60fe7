"""Runs attacks on training data and returns the poisoned data.

``fit/poisoning_budget.py`` enforces ε on the changes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from robench.api.attacks.base import Attack
from robench.api.attacks.poisoning import AttackerView, Corruption, PoisoningAttack
from robench.api.attacks.profiles import Profiles
from robench.api.data import Catalogue, IntArray, Interactions, Item
from robench.api.errors import PluginError
from robench.api.rng import Rng
from robench.api.threat import round_up
from robench.engine.fit.attacker import choose_seen_users
from robench.engine.fit.poisoning_budget import ProfileBudget, checked_changes


@dataclass(frozen=True, eq=False)
class PoisonedData:
    """Training data after an attack.

    Args:
        train: the attacked training data. The rows of real users come first, followed by the rows of fake users.
        achieved: the spent budget as the host measures it, by name.
        report: what the poisoning cost, by name, for the record.
    """

    train: Interactions
    achieved: dict[str, float] = field(default_factory=dict)
    report: dict[str, float] = field(default_factory=dict)


def poison(
    attack: Attack,
    train: Interactions,
    *,
    targets: IntArray,
    epsilon: float,
    rng: Rng,
    catalogue: Catalogue | None = None,
) -> PoisonedData:
    """Runs an attack on training data at ε and returns the poisoned data.

    Args:
        attack: a ``PoisoningAttack`` or a ``Corruption``.
        train: the training items, one row per real user.
        targets: the items to promote or demote, int64 [T].
        epsilon: the budget. For a ``PoisoningAttack``, ε is a share of the real users. For a ``Corruption``, ε is a
            share of the interactions.
        rng: the random stream of the attack.
        catalogue: the ids and descriptions of all items. By default, items have no descriptions.

    Raises:
        PluginError: if the attack has a different base class, exceeds the budget, or returns data that break the
            contract of its base class.
    """
    if isinstance(attack, PoisoningAttack):
        bare = Catalogue(tuple(map(str, range(train.n_items))), (Item(),) * train.n_items)
        view = make_view(attack, train, catalogue or bare, rng)
        return add_profiles(
            train, make_profiles(attack, view, train.n_users, targets=targets, epsilon=epsilon, rng=rng)
        )
    if isinstance(attack, Corruption):
        return corrupt(attack, train, epsilon=epsilon, rng=rng)
    raise PluginError(f"{type(attack).__name__} is neither a PoisoningAttack nor a Corruption")


def make_view(attack: PoisoningAttack, train: Interactions, catalogue: Catalogue, rng: Rng) -> AttackerView:
    """Returns what an attack sees of the training data.

    Args:
        attack: the attack, which declares its knowledge.
        train: the training items, one row per real user.
        catalogue: the ids and descriptions of all items.
        rng: the random stream of the poisoning. The sample of users is a child of this stream.
    """
    users = choose_seen_users(train.n_users, attack.config.knowledge.data, rng.child("seen"))
    return AttackerView(train.rows_in(users), catalogue)


def make_profiles(
    attack: PoisoningAttack, view: AttackerView, n_users: int, *, targets: IntArray, epsilon: float, rng: Rng
) -> Profiles:
    """Asks an attack for at most ⌈ε · real users⌉ profiles and checks them.

    Args:
        attack: the attack.
        view: what the attack sees.
        n_users: the number of real users, seen or not.
        targets: the items to promote or demote, int64 [T]. An untargeted attack does not get them.
        epsilon: the maximum number of fake users as a share of the real users.
        rng: the random stream of the attack.

    Raises:
        PluginError: if ``ProfileBudget.checked`` refuses the profiles.
    """
    targets = targets if attack.goal != "untargeted" else targets[:0]
    budget = ProfileBudget.of(attack, view.train, targets, epsilon, n_users)
    if budget.users == 0:
        return Profiles(())
    # The attack gets a copy, because the host measures its own targets.
    own = targets.copy()
    return budget.checked(attack.craft(view, targets=own, n_users=budget.users, profile_size=budget.size, rng=rng))


def add_profiles(train: Interactions, profiles: Profiles) -> PoisonedData:
    """Returns the training data with checked profiles after the rows of real users."""
    rows = profiles.rows
    achieved = {
        "epsilon": len(rows) / train.n_users,
        "fake_users": len(rows),
        "fake_interactions": sum(len(row) for row in rows),
    }
    return PoisonedData(train.appended(rows), achieved)


def corrupt(attack: Corruption, train: Interactions, *, epsilon: float, rng: Rng) -> PoisonedData:
    """Runs an attack that may change at most ⌈ε · n⌉ of the n training interactions.

    Raises:
        PluginError: if the attack changes more interactions, changes the number of users or items, returns a row that
            is not in the order of its times, or writes into ``train``.
    """
    budget, before = round_up(epsilon, len(train)), train.sha256()
    after = attack.corrupt(train, share=epsilon, rng=rng) if budget else train
    if train.sha256() != before:
        raise PluginError("a corruption must return its changes, and not write them into the data that it gets")
    if not isinstance(after, Interactions):
        raise PluginError(f"corrupt() returned {type(after).__name__}, not Interactions")
    if (after.n_users, after.n_items) != (train.n_users, train.n_items):
        raise PluginError("a corruption must keep users and items")
    earlier = np.diff(after.times)[np.diff(after.users()) == 0] < 0
    if earlier.any():
        raise PluginError("a corruption must keep the rows of users in the order of their times")
    count = checked_changes(train, after, budget)
    return PoisonedData(after, {"epsilon": count / max(1, len(train)), "changed_interactions": count})
