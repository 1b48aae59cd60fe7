"""Measures one victim without an attack, and under attacks on each surface."""

from __future__ import annotations

import importlib
from functools import cached_property

from robench.api.attacks.base import Attack
from robench.api.data import IntArray
from robench.api.surfaces import SURFACES
from robench.engine.attack.measurement import Measurement
from robench.engine.attack.surface import VictimSurface
from robench.engine.attack.victim import EvaluatedVictim


class MeasuredVictim(EvaluatedVictim):
    """A victim that is ready to be measured.

    The arguments are those of ``EvaluatedVictim``.
    """

    def clean(self, targets: IntArray | None) -> Measurement:
        """Measures ranks, top lists and target ranks without an attack.

        Args:
            targets: the items for which ranks are stored, int64 [T].
        """
        arrays = self.outcome(self.model, targets)
        diagnostics = {"stochastic": self.noise()} | self.candidate_diagnostics(arrays, targets)
        return Measurement(arrays, diagnostics=diagnostics)

    def attacked(self, attack: Attack, epsilon: float, key: str, targets: IntArray | None = None) -> Measurement:
        """Measures the worst candidate that an attack proposes within ε.

        The genuine input is also a candidate.

        Args:
            attack: an attack at test time.
            epsilon: the budget, in the unit of the attack's threat model.
            key: the identity of the attack without ε. A minimum-norm attack runs once per key.
            targets: the promoted items, int64 [T].

        Raises:
            TypeError: if attacks on the surface are not measured at test time.
        """
        threat = attack.threat()
        promoted = targets if threat.goal != "untargeted" else None
        return self.surface(threat.surface).measure(attack, epsilon, key, promoted)

    def surface(self, name: str) -> VictimSurface:
        """Returns a surface of this victim.

        A surface caches the results that it computes once per victim.

        Raises:
            TypeError: if attacks on this surface are not measured at test time.
        """
        if name not in self._surfaces:
            module, _, cls = SURFACES[name].measured_by.partition(":")
            if not cls:
                raise TypeError(f"no measurement is known for the surface '{name}'")
            self._surfaces[name] = getattr(importlib.import_module(module), cls)(self)
        return self._surfaces[name]

    @cached_property
    def _surfaces(self) -> dict[str, VictimSurface]:
        return {}
