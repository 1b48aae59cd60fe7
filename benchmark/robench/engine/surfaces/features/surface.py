"""Measures a victim under perturbations of the vectors of items."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from robench.api.attacks.ball import Ball
from robench.api.attacks.base import Attack
from robench.api.data import IntArray
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.surface import ArenaSurface
from robench.engine.surfaces.features.vectors import FeatureVectors
from robench.engine.surfaces.parameters.arena import ParametersArena
from robench.engine.surfaces.parameters.oracle import ParametersOracle


class FeaturesSurface(ArenaSurface):
    """The vectors of items that one victim reads, as an attack surface.

    An attack that promotes perturbs the vectors of the promoted items. An untargeted attack perturbs the vectors of all
    items.
    """

    perturbs_vectors = True

    def arenas(
        self, attack: Attack, epsilon: float, costs: Costs, diagnosis: Diagnosis, targets: IntArray | None = None
    ) -> Iterator[ParametersArena]:
        """Yields a single arena for all evaluated users."""
        threat, victim = attack.threat(), self.victim
        queries = list(victim.queries(threat.goal, threat.k, targets))
        items = np.arange(victim.history.n_items) if threat.goal == "untargeted" or targets is None else targets
        vectors = FeatureVectors(victim.neural(), torch.from_numpy(np.array(items)), victim.catalogue)
        oracle = ParametersOracle(vectors, queries, self.draws(attack.expectation()), None, costs, diagnosis)
        unit = vectors.unit(threat.norm, threat.scale)
        ball = Ball("l2" if threat.norm == "l2" else "linf", unit * epsilon)
        yield ParametersArena(oracle, ball, unit, targets)
