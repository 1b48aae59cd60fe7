"""The base classes of surfaces, which measure a victim under attacks.

Each folder of ``engine/surfaces`` defines a subclass. ``robench.api.surfaces`` names the subclass in the row of the
surface.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from robench.api.attacks.base import Attack
from robench.api.attacks.ensemble import Ensemble, Member
from robench.api.data import IntArray
from robench.api.surfaces import SURFACES
from robench.engine.attack.arena import Arena, search_worst
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.ensemble import MemberLog, members_of, search_each_user, search_for_all
from robench.engine.attack.measurement import (
    CellArrays,
    Measurement,
    achieved_budget,
    diagnostics_of,
    join_chunks,
)
from robench.engine.attack.victim import EvaluatedVictim


class VictimSurface(ABC):
    """One surface of one victim.

    Args:
        victim: the victim and its evaluated users.
    """

    def __init__(self, victim: EvaluatedVictim) -> None:
        self.victim = victim

    @abstractmethod
    def measure(self, attack: Attack, epsilon: float, key: str, targets: IntArray | None) -> Measurement:
        """Measures the worst candidate of an attack.

        The candidates are the genuine input and all proposals.

        Args:
            attack: an attack on this surface.
            epsilon: the budget, in the unit of the attack's threat model.
            key: the identity of the attack without ε.
            targets: the promoted items, int64 [T], or None if the attack is untargeted.
        """


class ArenaSurface(VictimSurface):
    """A surface that is attacked in arenas.

    An arena holds one chunk of users, or all users if they share one perturbation.
    """

    @abstractmethod
    def arenas(
        self, attack: Attack, epsilon: float, costs: Costs, diagnosis: Diagnosis, targets: IntArray | None = None
    ) -> Iterator[Arena]:
        """Yields the arenas of the victim under an attack at ε.

        Args:
            attack: an attack on this surface.
            epsilon: the budget.
            costs: the counters that all arenas share.
            diagnosis: the diagnosis that all arenas share.
            targets: the promoted items, int64 [T].
        """

    def measure(self, attack: Attack, epsilon: float, key: str, targets: IntArray | None) -> Measurement:
        """Measures the worst candidate of every arena, per user or for all users."""
        each_user_alone = SURFACES[attack.threat().surface].each_user_alone
        search_members = search_each_user if each_user_alone else search_for_all
        costs, diagnosis = Costs(), Diagnosis()
        parts: list[CellArrays] = []
        spent: dict[str, float] = {}
        log: MemberLog | None = None
        for arena in self.arenas(attack, epsilon, costs, diagnosis, targets):
            extra: CellArrays = {}
            if isinstance(attack, Ensemble):
                log = log or MemberLog(self._members(attack, arena))
                candidate, extra = search_members(arena, log, self.victim.rng)
            else:
                candidate = search_worst(arena, attack, self.victim.rng).candidate
            parts.append(arena.stored(candidate) | extra)
            spent |= arena.spent(candidate)
        arrays = join_chunks(parts, self.victim.users) if each_user_alone else parts[0]
        diagnostics = diagnostics_of(arrays, diagnosis) | {"expectation": attack.expectation()}
        diagnostics |= {"stochastic": self.victim.noise()} | self.diagnostics(arrays, targets)
        rows = [] if log is None else log.rows(arrays)
        return Measurement(arrays, achieved_budget(arrays, costs) | spent, diagnostics, rows)

    def diagnostics(self, arrays: CellArrays, targets: IntArray | None) -> dict[str, float]:
        """Returns the diagnostics that only this surface has."""
        return self.victim.candidate_diagnostics(arrays, targets)

    def _members(self, ensemble: Ensemble, arena: Arena) -> list[Member]:
        return members_of(ensemble, gradients=arena.gradients, stochastic=self.victim.draws().stochastic)
