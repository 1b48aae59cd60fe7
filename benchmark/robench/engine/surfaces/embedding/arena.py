"""The arena for attacks that perturb each user's embedded inputs within a ball."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.api.attacks.ball import Ball, l2, linf, sizes, wide
from robench.api.attacks.base import Attack
from robench.api.attacks.embedding import EmbeddingAttack, MinimumNormAttack
from robench.api.rng import Rng
from robench.engine.attack.arena import Candidate, Proposal, in_turn
from robench.engine.attack.costs import Costs
from robench.engine.attack.measurement import CellArrays
from robench.engine.attack.users import UserArena
from robench.engine.surfaces.embedding.oracle import EmbeddingOracle
from robench.engine.surfaces.vector_budget import TINY, project


@dataclass(eq=False)
class EmbeddingArena(UserArena):
    """An arena for one chunk of users, each with a separate perturbation δ.

    Args:
        oracle: the oracle for these users.
        unit: the radius of each user at ε = 1, float [B].
        ball: the ball that bounds δ, with one radius per user.
        targets: the targets, for which ranks are also stored, int64 [T].
    """

    oracle: EmbeddingOracle
    ball: Ball

    def genuine(self) -> Candidate:
        """Returns the perturbation δ = 0."""
        return self.oracle.zero()

    def proposals(self, attack: Attack, rng: Rng) -> Iterator[Proposal]:
        """Yields the candidates that the attack proposes.

        If a row of a minimum-norm attack exceeds the budget, the row is set to 0.

        Raises:
            TypeError: if the attack does not perturb embedded inputs.
        """
        if not isinstance(attack, EmbeddingAttack):
            raise TypeError(f"{type(attack).__name__} perturbs no embedded inputs")
        proposals = in_turn(attack, attack.perturb(self.oracle, self.ball.copy(), rng))
        # A minimum-norm attack gets no budget, so a δ beyond the budget does not count as overspending.
        yield from map(self._fitting, proposals) if isinstance(attack, MinimumNormAttack) else proposals

    def _fitting(self, proposal: Proposal) -> Candidate:
        delta = self.oracle.checked(proposal)
        fits = sizes(delta, self.ball.norm) <= self.ball.radius
        return {name: part * wide(fits, part) for name, part in delta.items()}

    def within_budget(self, proposal: Proposal) -> Candidate:
        """Returns the proposal after projection onto the ball.

        Entries that may not be perturbed are set to zero.
        """
        return project(self.oracle.checked(proposal), self.ball, self.costs)

    def rows(self, chosen: Tensor, expectation: int = 1) -> EmbeddingArena:
        """Returns an arena with only some of the users and with costs of its own."""
        oracle = self.oracle.rows(chosen, Costs(), expectation)
        ball = Ball(self.ball.norm, self.ball.radius[chosen])
        return EmbeddingArena(oracle, self.unit[chosen], ball, targets=self.targets)

    @property
    def form(self) -> Hashable:
        """The norm, together with the form of the oracle.

        Arenas can be pooled only if these are the same. The value is None if an ensemble continues to attack broken
        users.
        """
        return (self.ball.norm, self.oracle.form) if self.stops else None

    def pooled(self, arenas: Sequence[EmbeddingArena], places: Sequence[Tensor]) -> EmbeddingArena:
        """Returns one arena with users of several arenas.

        The new arena counts queries in the costs that the given arenas share.
        """
        pairs = list(zip(arenas, places, strict=True))
        oracle = self.oracle.pooled([arena.oracle for arena in arenas], places)
        unit = torch.cat([arena.unit[place] for arena, place in pairs])
        radius = torch.cat([arena.ball.radius[place] for arena, place in pairs])
        return EmbeddingArena(oracle, unit, Ball(self.ball.norm, radius), targets=self.targets)

    def distances(self, candidate: Candidate) -> CellArrays:
        """Returns the L2 and L∞ norms of each user's perturbation, and the spent budget.

        ``spent`` holds the spent budget, in the unit of ε.
        """
        return {
            "l2": l2(candidate).cpu().numpy(),
            "linf": linf(candidate).cpu().numpy(),
            "spent": (sizes(candidate, self.ball.norm) / self.unit.clamp_min(TINY)).cpu().numpy(),
        }
