"""Conformance tests for attacks on training data.

There is one class for fake users and one for changed interactions.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from robench.api.attacks.poisoning import Corruption, PoisoningAttack
from robench.api.data import IntArray, Interactions
from robench.api.rng import Rng
from robench.api.threat import round_up
from robench.engine.fit.poisoning import PoisonedData, poison
from robench.testing.conformance import Conformance
from robench.testing.worlds import crowd

TARGETS = (2, 11, 30)


class PoisoningAttackTests(Conformance):
    """Tests a ``PoisoningAttack``; a subclass names the class to test as ``attack``."""

    attack: ClassVar[type[PoisoningAttack]]

    def poisoned(self, epsilon: float, seed: int = 0) -> tuple[Interactions, IntArray, PoisonedData]:
        data, _ = crowd()
        targets = np.array(TARGETS)
        attack = self.attack.make(**self.settings)
        poisoned = poison(attack, data.train, targets=targets, epsilon=epsilon, rng=Rng(seed), catalogue=data.catalogue)
        return data.train, targets, poisoned

    @pytest.mark.parametrize("epsilon", [0.0, 0.001, 0.05, 0.3, 1.0])
    def test_the_budget_is_met_and_never_left(self, epsilon: float) -> None:
        train, _, poisoned = self.poisoned(epsilon)
        assert poisoned.train.n_users - train.n_users == round_up(epsilon, train.n_users)
        assert poisoned.achieved["fake_users"] == round_up(epsilon, train.n_users)

    def test_real_users_are_untouched(self) -> None:
        train, _, poisoned = self.poisoned(0.2)
        n = train.n_users
        np.testing.assert_array_equal(poisoned.train.indptr[: n + 1], train.indptr)
        np.testing.assert_array_equal(poisoned.train.items[: train.indptr[n]], train.items)

    def test_every_profile_holds_all_targets_once_and_has_the_median_size(self) -> None:
        train, targets, poisoned = self.poisoned(0.2)
        for user in range(train.n_users, poisoned.train.n_users):
            row = poisoned.train.row(user)
            assert np.isin(targets, row).all()
            assert len(np.unique(row)) == len(row) == int(np.median(train.lengths()))

    def test_the_same_seed_gives_the_same_profiles_and_another_seed_others(self) -> None:
        first, second, other = (self.poisoned(0.2, seed)[2].train.sha256() for seed in (0, 0, 1))
        assert first == second
        assert first != other


class CorruptionTests(Conformance):
    """Tests a ``Corruption``; a subclass names the class to test as ``attack``."""

    attack: ClassVar[type[Corruption]]

    @pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.2])
    def test_the_budget_holds(self, epsilon: float) -> None:
        data, _ = crowd()
        attack = self.attack.make(**self.settings)
        corrupted = poison(attack, data.train, targets=np.empty(0, np.int64), epsilon=epsilon, rng=Rng(0))
        if epsilon:
            assert corrupted.achieved["changed_interactions"] <= round_up(epsilon, len(data.train))
        assert (corrupted.train.sha256() == data.train.sha256()) == (epsilon == 0)
