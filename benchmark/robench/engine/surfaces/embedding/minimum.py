"""Finds the shortest perturbation that breaks each user."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.api.attacks.ball import sizes, wide
from robench.api.attacks.embedding import MinimumNormAttack
from robench.api.rng import Rng
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.surfaces.embedding.oracle import EmbeddingOracle
from robench.engine.surfaces.vector_budget import keep_fitting


@dataclass(frozen=True, eq=False)
class Minimum:
    """The shortest perturbation that breaks each user, with the costs of the search.

    Args:
        deltas: the perturbations of each chunk, with one row per user. The row is 0 if the user was not broken.
        lengths: the norm of each user's perturbation, float [B] per chunk. The norm is inf if the user was not broken.
        costs: the counts of the attack's queries.
        diagnosis: the diagnosis of the attack's gradients.
    """

    deltas: list[dict[str, Tensor]]
    lengths: list[Tensor]
    costs: Costs
    diagnosis: Diagnosis

    @classmethod
    def search(
        cls,
        attack: MinimumNormAttack,
        oracles: Iterable[EmbeddingOracle],
        rng: Rng,
        costs: Costs,
        diagnosis: Diagnosis,
    ) -> Minimum:
        """Runs an attack and keeps the shortest perturbation that breaks each user.

        The attack runs only on users that it still has to break.

        Args:
            attack: the attack.
            oracles: the oracles for all chunks, which share ``costs`` and ``diagnosis``.
            rng: the random stream of the attack.
            costs: the counts of the attack's queries.
            diagnosis: the diagnosis of the attack's gradients.
        """
        deltas, lengths = [], []
        for oracle in oracles:
            best, length = oracle.zero(), torch.full_like(oracle.lengths(), torch.inf)
            chosen = oracle.to_break.nonzero(as_tuple=True)[0]
            if len(chosen):
                part = oracle.rows(chosen)
                for proposal in attack.minimise(part, rng):
                    candidate = oracle.zero()
                    for name, rows in part.checked(proposal).items():
                        candidate[name][chosen] = rows
                    size = sizes(candidate, attack.config.norm)
                    # Candidates are judged in the full chunk, like all stored ranks of this victim.
                    costs.queries += len(oracle.users)
                    better = oracle.judge(candidate).broken & oracle.to_break & (size < length)
                    best = {n: torch.where(wide(better, p), candidate[n], p) for n, p in best.items()}
                    length = torch.where(better, size, length)
            deltas.append(best)
            lengths.append(length)
        return cls(deltas, lengths, costs, diagnosis)

    def within(self, number: int, radius: Tensor) -> dict[str, Tensor]:
        """Returns the shortest perturbation of each user in a chunk.

        The perturbation of a user is 0 if the shortest one exceeds the budget.

        Args:
            number: the index of the chunk.
            radius: the radius of each user, float [B].
        """
        return keep_fitting(self.deltas[number], self.lengths[number], radius)
