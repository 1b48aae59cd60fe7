"""What every ensemble must pass."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from robench.api.attacks.ensemble import Ensemble
from robench.api.data import IntArray
from robench.engine.attack.arena import Measurement
from robench.engine.attack.ensemble import members_of
from robench.engine.measure import MeasuredVictim
from robench.testing.text_world import promoted, text_victim
from robench.testing.worlds import reference_victim

BUDGETS = {"embedding": 0.3, "parameters": 0.3, "history": 2.0, "text": 1.0}


class EnsembleTests:
    """Subclass with ``attack = Mine``; ``settings`` choose the threat model. Run against a sequence victim, or on the
    surface ``text`` against one whose scores come from words.
    """

    attack: ClassVar[type[Ensemble]]
    settings: ClassVar[dict[str, Any]] = {}

    def made(self) -> Ensemble:
        found = self.attack.make(**self.settings)
        assert isinstance(found, Ensemble)
        return found

    def bench(self) -> MeasuredVictim:
        return text_victim() if self.made().threat().surface == "text" else reference_victim("sequence")

    def targets(self) -> IntArray | None:
        if self.made().threat().goal == "untargeted":
            return None
        return promoted() if self.made().threat().surface == "text" else np.array([3, 17])

    def epsilon(self) -> float:
        threat = self.made().threat()
        return 0.3 if threat.surface == "history" and threat.scale == "relative" else BUDGETS[threat.surface]

    def measure(self, epsilon: float) -> Measurement:
        return self.bench().attacked(self.made(), epsilon, "ensemble", self.targets())

    def test_an_unknown_setting_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            self.attack.make(**self.settings, no_such_setting=1)

    def test_its_version_stands_in_every_record(self) -> None:
        assert "version" in self.made().config.resolved(), "its Config needs a version: tables are called by it"

    @pytest.mark.parametrize("gradients", [True, False])
    @pytest.mark.parametrize("stochastic", [True, False])
    def test_the_members_are_attacks_of_its_own_threat_model(self, gradients: bool, stochastic: bool) -> None:
        found = members_of(self.made(), gradients=gradients, stochastic=stochastic, follows=True)
        assert found
        if not gradients and self.made().threat().surface in ("history", "text"):
            blind = [member.name for member in found if member.attack.kind() == "gradient"]
            assert not blind, f"no gradients are there for {blind}"

    def test_nothing_is_done_at_epsilon_zero(self) -> None:
        clean = self.bench().clean(self.targets()).arrays
        found = self.measure(0.0).arrays
        for name in ("ranks", "top", "candidates"):
            np.testing.assert_array_equal(found[name], clean[name])

    def test_the_budget_holds_without_the_hosts_help(self) -> None:
        found = self.measure(self.epsilon())
        assert found.achieved["overshoot"] <= 1 + 1e-4, "the host had to project, or to refuse"
        # A title may always have one edit, which is more than ε of a short one.
        assert self.made().threat().surface == "text" or found.achieved["epsilon"] <= self.epsilon() * (1 + 1e-4)

    def test_the_same_seed_gives_the_same_result(self) -> None:
        one, two = (self.measure(self.epsilon()) for _ in range(2))
        assert one.members == two.members
        for name, part in one.arrays.items():
            np.testing.assert_array_equal(part, two.arrays[name])

    def test_whoever_a_member_breaks_is_broken(self) -> None:
        found = self.measure(self.epsilon()).arrays
        if "member_broke" not in found:
            pytest.skip("one perturbation serves all users")
        if self.targets() is not None:
            pytest.skip("items are promoted: what breaks one user more may break another less")
        broken = (found["member_broke"] == 1).any(1)
        assert broken.any(), "nobody is broken"
        assert (found["ranks"][broken] > self.made().threat().k).all()

    def test_it_attacks(self) -> None:
        targets, found = self.targets(), self.measure(self.epsilon()).arrays
        clean = self.bench().clean(targets).arrays
        if targets is None:
            assert found["ranks"].sum() > clean["ranks"].sum(), "no rank fell"
        else:
            assert found["target_ranks"].sum() < clean["target_ranks"].sum(), "no promoted item rose"
