"""Measures one victim, both without an attack and under attacks at test time."""

from __future__ import annotations

import importlib
from functools import cached_property

from robench.api.attacks.base import Attack
from robench.api.data import IntArray
from robench.api.surfaces import SURFACES
from robench.engine.attack.measurement import Measurement
from robench.engine.attack.surface import VictimSurface
from robench.engine.attack.victim import EvaluatedVictim
from robench.engine.checks.victim import measure_checks, measure_table_checks
from robench.engine.surfaces.embedding.surface import EmbeddingSurface


class MeasuredVictim(EvaluatedVictim):
    """A victim that is ready to be measured.

    The constructor takes the arguments of ``EvaluatedVictim``.
    """

    def clean(self, targets: IntArray | None) -> Measurement:
        """Measures the victim without an attack.

        Args:
            targets: the targets, for which ranks are also stored, int64 [T], or None.
        """
        arrays = self.outcome(self.model, targets)
        diagnostics = {"stochastic": self.noise()} | self.candidate_diagnostics(arrays, targets)
        return Measurement(arrays, diagnostics=diagnostics)

    def attacked(self, attack: Attack, epsilon: float, key: str, targets: IntArray | None = None) -> Measurement:
        """Runs an attack at ε and measures the victim under the worst candidate.

        The genuine input is also a candidate.

        Args:
            attack: an attack at test time.
            epsilon: the budget, in the unit of the attack's threat model.
            key: a string that identifies the attack and its settings without ε. A minimum-norm attack runs once per
                key.
            targets: the items to promote, int64 [T]. An untargeted attack ignores them.

        Raises:
            TypeError: if attacks on the attack's surface do not act at test time.
        """
        threat = attack.threat()
        promoted = targets if threat.goal != "untargeted" else None
        surface = self.surface(threat.surface)
        rules = SURFACES[threat.surface]
        checks = dict(self.checks) if rules.checks_victims else {}
        checks |= self.table_checks(threat.surface) if rules.checks_tables else {}
        self.perturbed_noise = checks.get("noise_ball", 0.0)
        measurement = surface.measure(attack, epsilon, key, promoted)
        measurement.checks = checks
        return measurement

    @cached_property
    def checks(self) -> dict[str, float]:
        """The results of this victim's checks, by name.

        The checks run once, before the first attack on vectors. They change no random stream of the attacks.
        """
        surface = self.surface("embedding")
        assert isinstance(surface, EmbeddingSurface)
        return measure_checks(self, surface.rms())

    def table_checks(self, surface: str) -> dict[str, float]:
        """Returns the results of the checks for attacks on tables or on vectors of items.

        The checks run once per surface, before the first such attack. They change no random stream of the attacks.
        """
        if surface not in self._table_checks:
            inputs = self.surface("embedding")
            assert isinstance(inputs, EmbeddingSurface)
            self._table_checks[surface] = measure_table_checks(self, inputs.rms(), surface)
        return self._table_checks[surface]

    @cached_property
    def _table_checks(self) -> dict[str, dict[str, float]]:
        return {}

    def surface(self, name: str) -> VictimSurface:
        """Returns the object that measures attacks on one surface of this victim.

        Every call with the same name returns the same object, which caches some results.

        Raises:
            TypeError: if attacks on this surface do not act at test time.
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
