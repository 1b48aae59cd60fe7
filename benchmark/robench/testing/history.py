"""What every attack on the surface ``history`` must pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from robench.api.attacks.edits import edited, random_edits
from robench.api.attacks.history import HistoryAttack, HistoryOracle
from robench.api.rng import Rng
from robench.engine.attack.arena import Measurement
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.measure import MeasuredVictim
from robench.testing.worlds import reference_victim


class _Anything(HistoryAttack):
    """Random edits, for comparison."""

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


class HistoryAttackTests:
    """Subclass with ``attack = Mine``; ``settings`` make it fast. Run against sequence victims of equal and of ragged
    histories.
    """

    attack: ClassVar[type[HistoryAttack]]
    settings: ClassVar[dict[str, Any]] = {}

    def measure(self, victim: str, epsilon: float, **more: Any) -> Measurement:
        made = self.attack.make(**{**self.settings, **more})
        return reference_victim(victim).attacked(made, epsilon, f"{self.attack.__name__}-{more}")

    @pytest.fixture(params=["sequence", "ragged"])
    def victim(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def test_an_unknown_setting_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            self.attack.make(**self.settings, no_such_setting=1)

    @pytest.mark.parametrize("epsilon", [1, 2, 5])
    def test_the_budget_holds_without_the_hosts_help(self, victim: str, epsilon: int) -> None:
        found = self.measure(victim, epsilon)
        assert found.achieved["overshoot"] <= 1, "the host had to refuse an edited history"
        assert found.arrays["edits"].max() <= epsilon

    @pytest.mark.parametrize("epsilon", [0.01, 0.2, 0.5])
    def test_a_budget_in_shares_of_the_history_holds(self, epsilon: float) -> None:
        found = self.measure("ragged", epsilon, unit="fraction")
        lengths = reference_victim("ragged").history.lengths()
        assert found.achieved["overshoot"] <= 1, "the host had to refuse an edited history"
        assert (found.arrays["edits"] <= np.maximum(1, np.floor(epsilon * lengths + 1e-9))).all()

    @pytest.mark.parametrize("goal", ["untargeted", "promote"])
    def test_no_forbidden_item_and_none_twice_is_proposed(self, goal: str) -> None:
        bench, made = reference_victim("ragged"), self.attack.make(**{**self.settings, "goal": goal})
        (arena,) = bench.arenas(made, 3, Costs(), Diagnosis(), np.array([3, 17]))
        genuine = bench.history
        for proposed in arena.proposals(made, Rng(0)):
            for user, row in enumerate(proposed["items"].tolist()):
                items = [item for item in row if item != -1]
                new = set(items) - set(genuine.row(user).tolist())
                assert len(set(items)) == len(items), "an item stands twice"
                assert new <= set(range(genuine.n_items)) - set(bench.held.row(user).tolist())
                assert goal == "untargeted" or not new & {3, 17}, "a promoted item is inserted"

    @pytest.mark.parametrize("unit", ["edits", "fraction"])
    def test_nothing_is_done_at_epsilon_zero(self, victim: str, unit: str) -> None:
        clean = reference_victim(victim).clean(None).arrays
        found = self.measure(victim, 0.0, unit=unit).arrays
        for name in ("ranks", "top", "candidates"):
            np.testing.assert_array_equal(found[name], clean[name])
        assert not found["edits"].any()

    def test_it_attacks(self, victim: str) -> None:
        found = self.measure(victim, 2).arrays
        clean = reference_victim(victim).clean(None).arrays
        assert found["ranks"].sum() > clean["ranks"].sum(), "no rank fell under two edits"

    def test_it_promotes(self, victim: str) -> None:
        bench, targets = reference_victim(victim), np.array([3, 17])
        made = self.attack.make(**{**self.settings, "goal": "promote"})
        before = bench.clean(targets).arrays["target_ranks"]
        after = bench.attacked(made, 3, f"{self.attack.__name__}-promote", targets).arrays["target_ranks"]
        np.testing.assert_array_equal(after > 0, before > 0)
        assert after.sum() < before.sum(), "no promoted item rose under three edits"

    def test_a_gradient_attack_beats_random_edits_with_as_many_evaluations(self, victim: str) -> None:
        if not self.attack.gradient:
            pytest.skip("not an attack that follows the gradient")
        found = self.measure(victim, 2)
        floor = _Anything.make(edits=self.attack.make(**self.settings).config.edits)
        floor.draws = max(1, int(found.achieved["queries"]) // len(found.arrays["users"]))
        random = reference_victim(victim).attacked(floor, 2, "floor")
        assert found.arrays["loss"].mean() > random.arrays["loss"].mean()
        assert found.arrays["ranks"].mean() > random.arrays["ranks"].mean()

    def test_the_same_seed_gives_the_same_result(self, victim: str) -> None:
        one, two = (self.measure(victim, 2).arrays for _ in range(2))
        for name, part in one.items():
            np.testing.assert_array_equal(part, two[name])

    def test_a_larger_budget_is_never_weaker(self, victim: str) -> None:
        ranks = [self.measure(victim, epsilon).arrays["ranks"].mean() for epsilon in (0, 1, 2, 4)]
        assert ranks == sorted(ranks)

    def test_other_users_in_the_chunk_change_nothing(self) -> None:
        bench = reference_victim("ragged")
        made = self.attack.make(**self.settings)
        part = MeasuredVictim(bench.model, bench.history, bench.held, bench.users[20:40], 0)
        alone, all_ = part.attacked(made, 2, "part").arrays, bench.attacked(made, 2, "all").arrays
        np.testing.assert_array_equal(alone["ranks"], all_["ranks"][20:40])
        np.testing.assert_array_equal(alone["edits"], all_["edits"][20:40])
