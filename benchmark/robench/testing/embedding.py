"""Conformance tests for attacks on the surfaces ``embedding`` and ``parameters``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from robench.api.attacks.ball import Ball, Delta
from robench.api.attacks.embedding import EmbeddingAttack, MinimumNormAttack, Oracle
from robench.api.rng import Rng
from robench.engine.attack.measurement import Measurement
from robench.testing.conformance import Conformance
from robench.testing.worlds import reference_victim


class _RandomPoints(EmbeddingAttack):
    """An attack with random points that spend the full budget, for comparison."""

    draws: ClassVar[int] = 1

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        for draw in range(self.draws):
            yield ball.ascent(oracle.normal(rng.child("draw", draw)))


class EmbeddingAttackTests(Conformance):
    """Tests an ``EmbeddingAttack``, which a subclass sets as ``attack``.

    The tests share measurements at a few budgets, because an attack takes much longer than a comparison.
    The victims are a pairwise model and a sequence model. ``norms`` lists the norms that the attack supports.
    """

    attack: ClassVar[type[EmbeddingAttack]]
    norms: ClassVar[tuple[str, ...]] = ("l2", "linf")

    def measure(self, victim: str, norm: str, epsilon: float) -> Measurement:
        attack = self.attack.make(**{**self.settings, "norm": norm})
        return reference_victim(victim).attacked(attack, epsilon, f"{self.attack.__name__}-{norm}")

    @classmethod
    @cache
    def measure_once(cls, victim: str, norm: str, epsilon: float) -> Measurement:
        """Returns a measurement that is made once per process.

        Callers must not change the measurement.
        """
        return cls().measure(victim, norm, epsilon)

    @pytest.fixture(params=["pairwise", "sequence"])
    def victim(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_an_unknown_setting_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            self.attack.make(**self.settings, no_such_setting=1)

    @pytest.mark.parametrize("epsilon", [0.001, 0.2, 0.5, 3.0])
    def test_the_budget_holds_without_the_hosts_help(self, victim: str, epsilon: float) -> None:
        for norm in self.norms:
            achieved = self.measure_once(victim, norm, epsilon).achieved
            assert achieved["overshoot"] <= 1 + 1e-4, "the host had to project"
            assert achieved["epsilon"] <= epsilon * (1 + 1e-4)

    def test_nothing_is_done_at_epsilon_zero(self, victim: str) -> None:
        clean = reference_victim(victim).clean(None).arrays
        for norm in self.norms:
            attacked = self.measure_once(victim, norm, 0.0).arrays
            for name in ("ranks", "top", "candidates"):
                np.testing.assert_array_equal(attacked[name], clean[name])

    def test_it_attacks(self, victim: str) -> None:
        clean = reference_victim(victim).clean(None).arrays
        for norm in self.norms:
            attacked = self.measure_once(victim, norm, 0.5).arrays
            assert attacked["ranks"].sum() > clean["ranks"].sum(), f"no rank fell under {norm} at half the RMS"

    def test_a_gradient_attack_beats_random_points_with_as_many_evaluations(self, victim: str) -> None:
        if not self.attack.gradient or issubclass(self.attack, MinimumNormAttack):
            pytest.skip("not an attack that climbs the loss within a budget")
        for norm in self.norms:
            attacked = self.measure_once(victim, norm, 0.2)
            floor = _RandomPoints.make(norm=norm)
            floor.draws = max(1, int(attacked.achieved["queries"]) // len(attacked.arrays["users"]))
            random = reference_victim(victim).attacked(floor, 0.2, f"floor-{norm}")
            assert attacked.arrays["loss"].mean() > random.arrays["loss"].mean()
            assert attacked.arrays["ranks"].mean() > random.arrays["ranks"].mean()

    def test_the_same_seed_gives_the_same_result(self, victim: str) -> None:
        for norm in self.norms:
            first, second = (measure(victim, norm, 0.2).arrays for measure in (self.measure_once, self.measure))
            for name, part in first.items():
                np.testing.assert_array_equal(part, second[name])

    def test_a_larger_budget_is_never_weaker(self, victim: str) -> None:
        if issubclass(self.attack, MinimumNormAttack):
            small, large = (self.measure_once(victim, self.norms[0], e).arrays["ranks"] for e in (0.2, 0.5))
            assert (small <= 10).sum() >= (large <= 10).sum()
            return
        losses = [self.measure_once(victim, self.norms[0], e).arrays["loss"].mean() for e in (0.001, 0.2, 0.5)]
        assert losses == sorted(losses)
