"""Conformance tests for ensembles of attacks."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from robench.api.attacks.ensemble import Ensemble
from robench.api.data import IntArray
from robench.engine.attack.ensemble import members_of
from robench.engine.attack.measurement import Measurement
from robench.engine.measure import MeasuredVictim
from robench.engine.surfaces.text import similarity
from robench.testing.conformance import Conformance
from robench.testing.text_world import promoted, text_victim
from robench.testing.worlds import reference_victim


class EnsembleTests(Conformance):
    """Tests an ``Ensemble``, which a subclass sets as ``attack``.

    ``settings`` choose the threat model. On the surface ``text``, the victim is a model that reads titles. On any other
    surface, it is a sequence model.
    """

    attack: ClassVar[type[Ensemble]]

    @pytest.fixture(autouse=True)
    def no_similarity(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Leaves out the host's encoder, which takes longer than a small attack."""
        monkeypatch.setattr(similarity, "_encoder", lambda: None)

    def make(self) -> Ensemble:
        ensemble = self.attack.make(**self.settings)
        assert isinstance(ensemble, Ensemble)
        return ensemble

    def victim(self) -> MeasuredVictim:
        return text_victim() if self.make().threat().surface == "text" else reference_victim("sequence")

    def targets(self) -> IntArray | None:
        if self.make().threat().goal == "untargeted":
            return None
        return promoted() if self.make().threat().surface == "text" else np.array([3, 17])

    def epsilon(self) -> float:
        threat = self.make().threat()
        if threat.surface == "history":
            return 0.3 if threat.scale == "relative" else 2.0
        return 1.0 if threat.surface == "text" else 0.3

    def measure(self, epsilon: float) -> Measurement:
        return self.victim().attacked(self.make(), epsilon, "ensemble", self.targets())

    @classmethod
    @cache
    def measure_once(cls) -> Measurement:
        """Returns the measurement at the budget that ``epsilon`` returns.

        The measurement is made once per process. Callers must not change it.
        """
        return cls().measure(cls().epsilon())

    def test_an_unknown_setting_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            self.attack.make(**self.settings, no_such_setting=1)

    def test_its_version_stands_in_every_record(self) -> None:
        assert "version" in self.make().config.resolved(), "its Config needs a version, which tables show"

    @pytest.mark.parametrize("gradients", [True, False])
    @pytest.mark.parametrize("stochastic", [True, False])
    def test_the_members_are_attacks_of_its_own_threat_model(self, gradients: bool, stochastic: bool) -> None:
        members = members_of(self.make(), gradients=gradients, stochastic=stochastic, follows=True)
        assert members
        if not gradients and self.make().threat().surface in ("history", "text"):
            blind = [member.name for member in members if member.attack.kind() == "gradient"]
            assert not blind, f"there are no gradients for {blind}"

    def test_nothing_is_done_at_epsilon_zero(self) -> None:
        clean = self.victim().clean(self.targets()).arrays
        attacked = self.measure(0.0).arrays
        for name in ("ranks", "top", "candidates"):
            np.testing.assert_array_equal(attacked[name], clean[name])

    def test_the_budget_holds_without_the_hosts_help(self) -> None:
        achieved = self.measure_once().achieved
        assert achieved["overshoot"] <= 1 + 1e-4, "the host had to project, or to refuse"
        # One edit is always allowed, even if it exceeds ε for a short title.
        assert self.make().threat().surface == "text" or achieved["epsilon"] <= self.epsilon() * (1 + 1e-4)

    def test_the_same_seed_gives_the_same_result(self) -> None:
        first, second = self.measure_once(), self.measure(self.epsilon())
        assert first.members == second.members
        for name, part in first.arrays.items():
            np.testing.assert_array_equal(part, second.arrays[name])

    def test_whoever_a_member_breaks_is_broken(self) -> None:
        arrays = self.measure_once().arrays
        if "member_broke" not in arrays:
            pytest.skip("one perturbation serves all users")
        if self.targets() is not None:
            pytest.skip("items are promoted: what breaks one user more may break another less")
        broken = (arrays["member_broke"] == 1).any(1)
        assert broken.any(), "nobody is broken"
        assert (arrays["ranks"][broken] > self.make().threat().k).all()

    def test_it_attacks(self) -> None:
        targets, attacked = self.targets(), self.measure_once().arrays
        clean = self.victim().clean(targets).arrays
        if targets is None:
            assert attacked["ranks"].sum() > clean["ranks"].sum(), "no rank fell"
        else:
            assert attacked["target_ranks"].sum() < clean["target_ranks"].sum(), "no promoted item rose"
