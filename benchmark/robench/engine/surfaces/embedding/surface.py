"""Measures a victim under perturbations of its embedded inputs."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from robench.api.attacks.ball import Ball
from robench.api.attacks.base import Attack
from robench.api.attacks.embedding import MinimumNormAttack
from robench.api.data import IntArray
from robench.api.threat import GoalName, Threat
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.measurement import (
    CellArrays,
    Measurement,
    achieved_budget,
    diagnostics_of,
    join_chunks,
)
from robench.engine.attack.surface import ArenaSurface
from robench.engine.attack.victim import EvaluatedVictim
from robench.engine.surfaces.embedding.arena import EmbeddingArena
from robench.engine.surfaces.embedding.minimum import Minimum
from robench.engine.surfaces.embedding.oracle import EmbeddingOracle
from robench.engine.surfaces.vector_budget import TINY


class EmbeddingSurface(ArenaSurface):
    """The embedded inputs of one victim's users, as an attack surface."""

    perturbs_vectors = True

    def __init__(self, victim: EvaluatedVictim) -> None:
        super().__init__(victim)
        self._rms: float | None = None
        self._minima: dict[str, Minimum] = {}

    def oracles(
        self,
        k: int,
        costs: Costs | None = None,
        diagnosis: Diagnosis | None = None,
        *,
        goal: GoalName = "untargeted",
        targets: IntArray | None = None,
        expectation: int = 1,
    ) -> Iterator[EmbeddingOracle]:
        """Yields one oracle per chunk of evaluated users.

        All oracles share ``costs`` and ``diagnosis``.
        """
        costs, diagnosis = costs or Costs(), diagnosis or Diagnosis()
        for queries in self.victim.queries(goal, k, targets):
            draws = self.draws(expectation)
            yield EmbeddingOracle.embed(self.victim.neural(), *queries, draws, costs, diagnosis)

    def rms(self) -> float:
        """Returns the root mean square of all genuine input entries.

        The value covers every entry that may be perturbed, over all evaluated users. It is computed once per victim.
        """
        if self._rms is None:
            squares, entries = [], []
            for oracle in self.oracles(k=1):
                squares.append(oracle.clean.square_sum())
                entries.append(oracle.clean.sizes().double())
            self._rms = float((torch.cat(squares).sum() / torch.cat(entries).sum()).sqrt())
        return self._rms

    def arenas(
        self, attack: Attack, epsilon: float, costs: Costs, diagnosis: Diagnosis, targets: IntArray | None = None
    ) -> Iterator[EmbeddingArena]:
        """Yields one arena per chunk of evaluated users."""
        threat, expectation = attack.threat(), attack.expectation()
        for oracle in self.oracles(
            threat.k, costs, diagnosis, goal=threat.goal, targets=targets, expectation=expectation
        ):
            unit = self._unit(oracle, threat)
            ball = Ball("l2" if threat.norm == "l2" else "linf", unit * epsilon)
            yield EmbeddingArena(oracle, unit, ball, targets=targets)

    def measure(self, attack: Attack, epsilon: float, key: str, targets: IntArray | None) -> Measurement:
        """Runs an attack at ε and measures the victim under the worst candidates.

        A minimum-norm attack runs only once per ``key``, for all ε.
        """
        if isinstance(attack, MinimumNormAttack):
            return self._measure_minimum(attack, epsilon, key, targets)
        return super().measure(attack, epsilon, key, targets)

    def diagnostics(self, arrays: CellArrays, targets: IntArray | None) -> dict[str, float]:
        """Returns the root mean square of inputs, and diagnostics about candidates."""
        return {"rms": self.rms()} | super().diagnostics(arrays, targets)

    def _measure_minimum(
        self, attack: MinimumNormAttack, epsilon: float, key: str, targets: IntArray | None
    ) -> Measurement:
        """Measures the victim under the shortest perturbation that breaks each user.

        The attack runs only once per ``key``, for all ε. A user is not perturbed if no perturbation within the budget
        was found.
        """
        threat, expectation = attack.threat(), attack.expectation()
        if key not in self._minima:
            costs, diagnosis = Costs(), Diagnosis()
            oracles = self.oracles(
                threat.k, costs, diagnosis, goal=threat.goal, targets=targets, expectation=expectation
            )
            self._minima[key] = Minimum.search(attack, oracles, self.victim.rng, costs, diagnosis)
        minimum = self._minima[key]
        parts = []
        for number, arena in enumerate(self.arenas(attack, epsilon, Costs(), Diagnosis(), targets)):
            part = arena.stored(minimum.within(number, arena.ball.radius))
            # A user that reaches the goal without an attack needs no perturbation. The radius is 0, and statistics skip
            # this user.
            length = minimum.lengths[number] / arena.unit.clamp_min(TINY)
            parts.append(part | {"radius": torch.where(arena.to_break, length, 0.0).cpu().numpy()})
        arrays = join_chunks(parts, self.victim.users)
        diagnostics = diagnostics_of(arrays, minimum.diagnosis) | {"expectation": expectation, "rms": self.rms()}
        diagnostics["stochastic"] = self.victim.noise()
        return Measurement(arrays, achieved_budget(arrays, minimum.costs), diagnostics)

    def _unit(self, oracle: EmbeddingOracle, threat: Threat) -> Tensor:
        """Returns the radius of each user at ε = 1, float [B].

        If the scale is absolute, the radius is 1. If the scale is relative, the radius in linf is the root mean square
        of the inputs (``rms``). In l2, this value is multiplied by the square root of the number of entries that may be
        perturbed.
        """
        entries = oracle.lengths()
        unit = torch.ones_like(entries)
        if threat.scale == "relative":
            unit = unit * self.rms() * (entries.sqrt() if threat.norm == "l2" else 1.0)
        return unit
