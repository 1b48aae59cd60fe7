"""The base classes for measuring a victim under attacks on one surface.

Each folder in ``engine/surfaces`` defines a subclass. ``SURFACES`` in ``robench.api.surfaces`` names these subclasses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar

from robench.api.attacks.base import Attack
from robench.api.attacks.ensemble import Ensemble, Member
from robench.api.data import IntArray
from robench.api.surfaces import SURFACES
from robench.engine.attack.arena import Arena, Candidate, search_worst
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.draws import Draws
from robench.engine.attack.ensemble import MemberLog, members_of, search_each_user, search_for_all, search_pool
from robench.engine.attack.measurement import (
    CellArrays,
    Measurement,
    achieved_budget,
    diagnostics_of,
    join_chunks,
)
from robench.engine.attack.pool import pool_arenas
from robench.engine.attack.victim import EvaluatedVictim


class VictimSurface(ABC):
    """One attack surface of one victim, with a method to measure the victim.

    Args:
        victim: the victim with its evaluated users.
    """

    def __init__(self, victim: EvaluatedVictim) -> None:
        self.victim = victim

    @abstractmethod
    def measure(self, attack: Attack, epsilon: float, key: str, targets: IntArray | None) -> Measurement:
        """Runs an attack and measures the victim under the worst candidate.

        The candidates are the genuine input and everything that the attack proposes.

        Args:
            attack: an attack on this surface.
            epsilon: the budget, in the unit of the attack's threat model.
            key: a string that identifies the attack and its settings without ε.
            targets: the promoted items, int64 [T], or None if the attack is untargeted.
        """


class ArenaSurface(VictimSurface):
    """A surface on which candidates are judged in arenas.

    An arena holds one chunk of users, or all users if one perturbation serves all users.

    Attributes:
        perturbs_vectors: whether attacks on this surface perturb vectors.
    """

    perturbs_vectors: ClassVar[bool] = False

    @abstractmethod
    def arenas(
        self, attack: Attack, epsilon: float, costs: Costs, diagnosis: Diagnosis, targets: IntArray | None = None
    ) -> Iterator[Arena]:
        """Yields the arenas for an attack at ε.

        The arenas together cover all evaluated users.

        Args:
            attack: an attack on this surface.
            epsilon: the budget, in the unit of the attack's threat model.
            costs: the costs that all arenas share.
            diagnosis: the diagnosis that all arenas share.
            targets: the promoted items, int64 [T], or None if the attack is untargeted.
        """

    def measure(self, attack: Attack, epsilon: float, key: str, targets: IntArray | None) -> Measurement:
        """Runs an attack in every arena and measures the worst candidates."""
        each_user_alone = SURFACES[attack.threat().surface].each_user_alone
        search_members = search_each_user if each_user_alone else search_for_all
        # Only an ensemble stops attacking broken users, so any other attack gains nothing from a pool.
        most = self.victim.chunk_size() if isinstance(attack, Ensemble) else 0
        costs, diagnosis = Costs(), Diagnosis()
        parts: list[CellArrays] = []
        spent: dict[str, float] = {}
        log: MemberLog | None = None
        for group in pool_arenas(self.arenas(attack, epsilon, costs, diagnosis, targets), most):
            outcomes: Iterable[tuple[Candidate, CellArrays]]
            if not isinstance(attack, Ensemble):
                outcomes = ((search_worst(arena, attack, self.victim.rng).candidate, {}) for arena in group)
            else:
                log = log or MemberLog(self._members(attack, group[0]))
                if group[0].form is None:
                    outcomes = [search_members(group[0], log, self.victim.rng)]
                else:
                    outcomes = search_pool(group, log, self.victim.rng)
            for arena, (candidate, extra) in zip(group, outcomes, strict=True):
                parts.append(arena.stored(candidate) | extra)
                spent |= arena.spent(candidate)
        arrays = join_chunks(parts, self.victim.users) if each_user_alone else parts[0]
        diagnostics = diagnostics_of(arrays, diagnosis) | {"expectation": attack.expectation()}
        diagnostics |= {"stochastic": self.victim.noise()} | self.diagnostics(arrays, targets)
        rows = [] if log is None else log.rows(arrays)
        return Measurement(arrays, achieved_budget(arrays, costs) | spent, diagnostics, rows)

    def draws(self, expectation: int = 1) -> Draws:
        """Returns the random streams for scoring the victim on this surface.

        Args:
            expectation: the number of scorings over which an evaluation by the attack averages.
        """
        return self.victim.draws(expectation, perturbed=self.perturbs_vectors)

    def diagnostics(self, arrays: CellArrays, targets: IntArray | None) -> dict[str, float]:
        """Returns the diagnostics that are specific to this surface, by name.

        The default describes the candidates that the model reranks, if there are any.
        """
        return self.victim.candidate_diagnostics(arrays, targets)

    def _members(self, ensemble: Ensemble, arena: Arena) -> list[Member]:
        return members_of(ensemble, gradients=arena.gradients, stochastic=self.draws().stochastic)
