"""Conformance tests for attacks on the surface ``history``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from robench.api.attacks.edits import edited, random_edits
from robench.api.attacks.history import HistoryAttack, HistoryOracle
from robench.api.rng import Rng
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.measurement import Measurement
from robench.engine.measure import MeasuredVictim
from robench.engine.surfaces.history.surface import HistorySurface
from robench.testing.conformance import Conformance
from robench.testing.worlds import reference_victim


class _RandomEdits(HistoryAttack):
    """An attack with random edits that spend the full budget, for comparison."""

    draws: ClassVar[int] = 1

    def rewrite(self, oracle: HistoryOracle, rng: Rng) -> Iterator[Tensor]:
        budget = oracle.budget()
        for draw in range(self.draws):
            rows = oracle.rows()
            for edit in range(int(budget.max())):
                uniform = oracle.uniform(rng.child(draw, edit), 1, 3)
                kind, place, item = (part[:, 0] for part in random_edits(oracle, rows, uniform, self.config.edits))
                rows = edited(rows, torch.where(edit < budget, kind, -1), place, item)
            yield rows


class HistoryAttackTests(Conformance):
    """Tests a ``HistoryAttack``, which a subclass sets as ``attack``.

    There are two victims, both sequence models. The users of the first victim have histories of the same length. The
    users of the second victim have histories of different lengths.
    """

    attack: ClassVar[type[HistoryAttack]]

    def measure(self, victim: str, epsilon: float, **more: Any) -> Measurement:
        attack = self.attack.make(**{**self.settings, **more})
        return reference_victim(victim).attacked(attack, epsilon, f"{self.attack.__name__}-{more}")

    @classmethod
    @cache
    def measure_once(cls, victim: str, epsilon: float) -> Measurement:
        """Returns a measurement that is made once per process.

        Callers must not change the measurement.
        """
        return cls().measure(victim, epsilon)

    @pytest.fixture(params=["sequence", "ragged"])
    def victim(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_an_unknown_setting_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            self.attack.make(**self.settings, no_such_setting=1)

    @pytest.mark.parametrize("epsilon", [1, 2, 5])
    def test_the_budget_holds_without_the_hosts_help(self, victim: str, epsilon: int) -> None:
        measurement = self.measure_once(victim, epsilon)
        assert measurement.achieved["overshoot"] <= 1, "the host had to refuse an edited history"
        assert measurement.arrays["edits"].max() <= epsilon

    @pytest.mark.parametrize("epsilon", [0.01, 0.2, 0.5])
    def test_a_budget_in_shares_of_the_history_holds(self, epsilon: float) -> None:
        measurement = self.measure("ragged", epsilon, unit="fraction")
        lengths = reference_victim("ragged").history.lengths()
        assert measurement.achieved["overshoot"] <= 1, "the host had to refuse an edited history"
        assert (measurement.arrays["edits"] <= np.maximum(1, np.floor(epsilon * lengths + 1e-9))).all()

    @pytest.mark.parametrize("goal", ["untargeted", "promote"])
    def test_no_forbidden_item_and_none_twice_is_proposed(self, goal: str) -> None:
        victim, attack = reference_victim("ragged"), self.attack.make(**{**self.settings, "goal": goal})
        (arena,) = HistorySurface(victim).arenas(attack, 3, Costs(), Diagnosis(), np.array([3, 17]))
        genuine = victim.history
        for proposed in arena.proposals(attack, Rng(0)):
            for user, row in enumerate(proposed["items"].tolist()):
                items = [item for item in row if item != -1]
                new = set(items) - set(genuine.row(user).tolist())
                assert len(set(items)) == len(items), "an item occurs twice"
                assert new <= set(range(genuine.n_items)) - set(victim.held.row(user).tolist())
                assert goal == "untargeted" or not new & {3, 17}, "a promoted item is inserted"

    @pytest.mark.parametrize("unit", ["edits", "fraction"])
    def test_nothing_is_done_at_epsilon_zero(self, victim: str, unit: str) -> None:
        clean = reference_victim(victim).clean(None).arrays
        attacked = self.measure(victim, 0.0, unit=unit).arrays
        for name in ("ranks", "top", "candidates"):
            np.testing.assert_array_equal(attacked[name], clean[name])
        assert not attacked["edits"].any()

    def test_it_attacks(self, victim: str) -> None:
        attacked = self.measure_once(victim, 2).arrays
        clean = reference_victim(victim).clean(None).arrays
        assert attacked["ranks"].sum() > clean["ranks"].sum(), "no rank fell under two edits"

    def test_it_promotes(self, victim: str) -> None:
        reference, targets = reference_victim(victim), np.array([3, 17])
        attack = self.attack.make(**{**self.settings, "goal": "promote"})
        before = reference.clean(targets).arrays["target_ranks"]
        after = reference.attacked(attack, 3, f"{self.attack.__name__}-promote", targets).arrays["target_ranks"]
        np.testing.assert_array_equal(after > 0, before > 0)
        assert after.sum() < before.sum(), "no promoted item rose under three edits"

    def test_a_gradient_attack_beats_random_edits_with_as_many_evaluations(self, victim: str) -> None:
        if not self.attack.gradient:
            pytest.skip("not an attack that follows the gradient")
        attacked = self.measure_once(victim, 2)
        floor = _RandomEdits.make(edits=self.attack.make(**self.settings).config.edits)
        floor.draws = max(1, int(attacked.achieved["queries"]) // len(attacked.arrays["users"]))
        random = reference_victim(victim).attacked(floor, 2, "floor")
        assert attacked.arrays["loss"].mean() > random.arrays["loss"].mean()
        assert attacked.arrays["ranks"].mean() > random.arrays["ranks"].mean()

    def test_the_same_seed_gives_the_same_result(self, victim: str) -> None:
        first, second = (measure(victim, 2).arrays for measure in (self.measure_once, self.measure))
        for name, part in first.items():
            np.testing.assert_array_equal(part, second[name])

    def test_a_larger_budget_is_never_weaker(self, victim: str) -> None:
        clean = reference_victim(victim).clean(None)
        curve = [clean, *(self.measure_once(victim, epsilon) for epsilon in (1, 2, 5))]
        ranks = [measurement.arrays["ranks"].mean() for measurement in curve]
        assert ranks == sorted(ranks)

    def test_other_users_in_the_chunk_change_nothing(self) -> None:
        victim, attack = reference_victim("ragged"), self.attack.make(**self.settings)
        twenty = MeasuredVictim(victim.model, victim.history, victim.held, victim.users[20:40], 0)
        part, whole = twenty.attacked(attack, 2, "part").arrays, self.measure_once("ragged", 2).arrays
        np.testing.assert_array_equal(part["ranks"], whole["ranks"][20:40])
        np.testing.assert_array_equal(part["edits"], whole["edits"][20:40])
