"""Measures a victim under perturbations of its embedding tables."""

from __future__ import annotations

from collections.abc import Iterator

from robench.api.attacks.ball import Ball
from robench.api.attacks.base import Attack
from robench.api.data import IntArray
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.surface import ArenaSurface
from robench.engine.surfaces.parameters.arena import ParametersArena
from robench.engine.surfaces.parameters.oracle import ParametersOracle
from robench.engine.surfaces.parameters.tables import EmbeddingTables


class ParametersSurface(ArenaSurface):
    """The embedding tables of one victim, as an attack surface."""

    perturbs_vectors = True

    def arenas(
        self, attack: Attack, epsilon: float, costs: Costs, diagnosis: Diagnosis, targets: IntArray | None = None
    ) -> Iterator[ParametersArena]:
        """Yields a single arena for all evaluated users."""
        threat, victim = attack.threat(), self.victim
        queries = list(victim.queries(threat.goal, threat.k, targets))
        known = victim.history if attack.positives() == "known" else None
        tables = EmbeddingTables(victim.neural())
        draws = self.draws(attack.expectation())
        oracle = ParametersOracle(tables, queries, draws, known, costs, diagnosis)
        unit = tables.unit(threat.norm, threat.scale)
        ball = Ball("l2" if threat.norm == "l2" else "linf", unit * epsilon)
        yield ParametersArena(oracle, ball, unit, targets)
