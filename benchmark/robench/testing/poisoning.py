"""Conformance tests for attacks on training data.

There is one class for fake users and one for changed interactions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from robench.api.attacks.poisoning import Corruption, PoisoningAttack
from robench.api.data import IntArray, Interactions, TrainData
from robench.api.defense import Defense
from robench.api.rng import Rng
from robench.api.threat import round_up
from robench.engine.fit.attacker import choose_seen_users
from robench.engine.fit.poisoning import PoisonedData, add_profiles, poison
from robench.engine.fit.profiles import ProfileMaker, VictimPipeline
from robench.testing.conformance import Conformance
from robench.testing.worlds import CPU, ReferencePairwise, crowd

TARGETS = (2, 11, 30)


class PoisoningAttackTests(Conformance):
    """Tests a ``PoisoningAttack``, which a subclass sets as ``attack``."""

    attack: ClassVar[type[PoisoningAttack]]

    def poisoned(self, epsilon: float, seed: int = 0) -> tuple[Interactions, IntArray, PoisonedData]:
        data, _ = crowd()
        poisoned = self.poison(data, epsilon, seed)
        return data.train, np.array(TARGETS), poisoned

    def poison(self, data: TrainData, epsilon: float, seed: int, **settings: object) -> PoisonedData:
        """Returns the poisoned data as the host makes them.

        An attack that may fit the victim's pipeline gets a small reference model without a defence.
        """
        attack = self.attack.make(**{**self.settings, **settings})
        pipeline = VictimPipeline(ReferencePairwise, {"epochs": 1}, Defense(), seed, CPU)
        maker = ProfileMaker(attack, data, np.array(TARGETS), epsilon, Rng(seed), pipeline)
        return add_profiles(data.train, maker.read(maker.make()[0]))

    @pytest.mark.parametrize("epsilon", [0.0, 0.001, 0.05, 0.3, 1.0])
    def test_the_budget_is_met_and_never_left(self, epsilon: float) -> None:
        train, _, poisoned = self.poisoned(epsilon)
        assert poisoned.train.n_users - train.n_users == round_up(epsilon, train.n_users)
        assert poisoned.achieved["fake_users"] == round_up(epsilon, train.n_users)

    def test_the_surrogate_has_a_name_or_is_none(self) -> None:
        assert isinstance(self.attack.make(**self.settings).surrogate, str)

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

    def test_users_that_the_attack_does_not_see_change_no_profile(self) -> None:
        data, _ = crowd()
        knowledge = {**self.attack.make(**self.settings).config.knowledge.model_dump(), "data": 0.5}
        n = data.train.n_users
        seen = {*choose_seen_users(n, 0.5, Rng(0).child("seen")).tolist()}
        rows = [data.train.row(user) if user in seen else data.train.row(user)[::-2] for user in range(n)]
        other = replace(data, train=Interactions.from_rows(rows, data.n_items))
        one, two = (self.poison(world, 0.2, 0, knowledge=knowledge).train for world in (data, other))
        assert [one.row(user).tolist() for user in range(n, one.n_users)] == [
            two.row(user).tolist() for user in range(n, two.n_users)
        ]


class CorruptionTests(Conformance):
    """Tests a ``Corruption``, which a subclass sets as ``attack``."""

    attack: ClassVar[type[Corruption]]

    @pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.2])
    def test_the_budget_holds(self, epsilon: float) -> None:
        data, _ = crowd()
        attack = self.attack.make(**self.settings)
        corrupted = poison(attack, data.train, targets=np.empty(0, np.int64), epsilon=epsilon, rng=Rng(0))
        if epsilon:
            assert corrupted.achieved["changed_interactions"] <= round_up(epsilon, len(data.train))
        assert (corrupted.train.sha256() == data.train.sha256()) == (epsilon == 0)
