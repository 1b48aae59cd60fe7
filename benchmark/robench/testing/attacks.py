"""What every attack must pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from robench.api.attacks.ball import Ball, Delta
from robench.api.attacks.embedding import EmbeddingAttack, MinimumNormAttack, Oracle
from robench.api.attacks.poisoning import Corruption, PoisoningAttack
from robench.api.rng import Rng
from robench.engine.attack.arena import Measurement
from robench.engine.fit.poisoning import budget_of, poison
from robench.testing.worlds import crowd, reference_victim


class _Corners(EmbeddingAttack):
    """Random points at full budget, for comparison."""

    draws: ClassVar[int] = 1

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        for draw in range(self.draws):
            yield ball.ascent(oracle.normal(rng.child("draw", draw)))


class EmbeddingAttackTests:
    """Subclass with ``attack = Mine``; ``settings`` make it fast. Run against a pairwise and a sequence victim."""

    attack: ClassVar[type[EmbeddingAttack]]
    settings: ClassVar[dict[str, Any]] = {}
    norms: ClassVar[tuple[str, ...]] = ("l2", "linf")

    def measure(self, victim: str, norm: str, epsilon: float) -> Measurement:
        made = self.attack.make(**{**self.settings, "norm": norm})
        return reference_victim(victim).attacked(made, epsilon, f"{self.attack.__name__}-{norm}")

    @pytest.fixture(params=["pairwise", "sequence"])
    def victim(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_an_unknown_setting_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            self.attack.make(**self.settings, no_such_setting=1)

    @pytest.mark.parametrize("epsilon", [0.001, 0.05, 0.5, 3.0])
    def test_the_budget_holds_without_the_hosts_help(self, victim: str, epsilon: float) -> None:
        for norm in self.norms:
            found = self.measure(victim, norm, epsilon)
            assert found.achieved["overshoot"] <= 1 + 1e-4, "the host had to project"
            assert found.achieved["epsilon"] <= epsilon * (1 + 1e-4)

    def test_nothing_is_done_at_epsilon_zero(self, victim: str) -> None:
        clean = reference_victim(victim).clean(None).arrays
        for norm in self.norms:
            found = self.measure(victim, norm, 0.0).arrays
            for name in ("ranks", "top", "candidates"):
                np.testing.assert_array_equal(found[name], clean[name])

    def test_it_attacks(self, victim: str) -> None:
        for norm in self.norms:
            found = self.measure(victim, norm, 0.5).arrays
            clean = reference_victim(victim).clean(None).arrays
            assert found["ranks"].sum() > clean["ranks"].sum(), f"no rank fell under {norm} at half the RMS"

    def test_a_gradient_attack_beats_random_points_with_as_many_evaluations(self, victim: str) -> None:
        if not self.attack.gradient or issubclass(self.attack, MinimumNormAttack):
            pytest.skip("not an attack that climbs the loss within a budget")
        for norm in self.norms:
            found = self.measure(victim, norm, 0.2)
            floor = _Corners.make(norm=norm)
            n_users = len(found.arrays["users"])
            floor.draws = max(1, int(found.achieved["queries"]) // n_users)
            random = reference_victim(victim).attacked(floor, 0.2, f"floor-{norm}")
            assert found.arrays["loss"].mean() > random.arrays["loss"].mean()
            assert found.arrays["ranks"].mean() > random.arrays["ranks"].mean()

    def test_the_same_seed_gives_the_same_result(self, victim: str) -> None:
        for norm in self.norms:
            one, two = (self.measure(victim, norm, 0.1).arrays for _ in range(2))
            for name, part in one.items():
                np.testing.assert_array_equal(part, two[name])

    def test_a_larger_budget_is_never_weaker(self, victim: str) -> None:
        if issubclass(self.attack, MinimumNormAttack):
            small, large = (self.measure(victim, self.norms[0], e).arrays["ranks"] for e in (0.05, 0.5))
            assert (small <= 10).sum() >= (large <= 10).sum()
            return
        losses = [self.measure(victim, self.norms[0], e).arrays["loss"].mean() for e in (0.01, 0.1, 0.4)]
        assert losses == sorted(losses)


class PoisoningAttackTests:
    """Subclass with ``attack = Mine``."""

    attack: ClassVar[type[PoisoningAttack]]
    settings: ClassVar[dict[str, Any]] = {}

    def poisoned(self, epsilon: float, seed: int = 0) -> tuple[Any, Any, Any]:
        data, _ = crowd()
        targets = np.array([2, 11, 30])
        made = self.attack.make(**self.settings)
        return data.train, targets, poison(made, data.train, targets=targets, epsilon=epsilon, rng=Rng(seed))

    @pytest.mark.parametrize("epsilon", [0.0, 0.001, 0.05, 0.3, 1.0])
    def test_the_budget_is_met_and_never_left(self, epsilon: float) -> None:
        train, _, found = self.poisoned(epsilon)
        assert found.train.n_users - train.n_users == budget_of(epsilon, train.n_users)
        assert found.achieved["fake_users"] == budget_of(epsilon, train.n_users)

    def test_real_users_are_untouched(self) -> None:
        train, _, found = self.poisoned(0.2)
        n = train.n_users
        np.testing.assert_array_equal(found.train.indptr[: n + 1], train.indptr)
        np.testing.assert_array_equal(found.train.items[: train.indptr[n]], train.items)

    def test_every_profile_holds_all_targets_once_and_has_the_median_size(self) -> None:
        train, targets, found = self.poisoned(0.2)
        for user in range(train.n_users, found.train.n_users):
            row = found.train.row(user)
            assert np.isin(targets, row).all()
            assert len(np.unique(row)) == len(row) == int(np.median(train.lengths()))

    def test_the_same_seed_gives_the_same_profiles_and_another_seed_others(self) -> None:
        one, two, other = (self.poisoned(0.2, seed)[2].train.sha256() for seed in (0, 0, 1))
        assert one == two
        assert one != other


class CorruptionTests:
    """Subclass with ``attack = Mine``."""

    attack: ClassVar[type[Corruption]]
    settings: ClassVar[dict[str, Any]] = {}

    @pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.2])
    def test_the_budget_holds(self, epsilon: float) -> None:
        data, _ = crowd()
        made = self.attack.make(**self.settings)
        found = poison(made, data.train, targets=np.empty(0, np.int64), epsilon=epsilon, rng=Rng(0))
        assert found.achieved["changed_interactions"] <= budget_of(epsilon, len(data.train)) if epsilon else True
        assert (found.train.sha256() == data.train.sha256()) == (epsilon == 0)
