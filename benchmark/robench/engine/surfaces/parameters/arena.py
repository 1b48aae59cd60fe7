"""The arena for attacks that perturb the embedding tables, for all users at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robench.api.attacks.ball import Ball, sizes
from robench.api.attacks.base import Attack
from robench.api.attacks.embedding import EmbeddingAttack
from robench.api.data import IntArray
from robench.api.errors import PluginError
from robench.api.rng import Rng
from robench.engine.attack.arena import Arena, Candidate, Proposal, in_turn
from robench.engine.attack.costs import Costs
from robench.engine.attack.goal import Goal
from robench.engine.attack.judgement import Judgement, judge_scores
from robench.engine.attack.measurement import CellArrays, join_chunks, outcome_arrays
from robench.engine.surfaces.parameters.oracle import ROWS, ParametersOracle
from robench.engine.surfaces.vector_budget import TINY, project


@dataclass(eq=False)
class ParametersArena(Arena):
    """An arena in which one perturbation δ of the tables serves all evaluated users.

    Args:
        oracle: the oracle for this victim.
        ball: the ball that bounds δ, with one radius per row of the tables.
        unit: the radius of each row of the tables at ε = 1, float [rows].
        targets: the targets, for which ranks are also stored, int64 [T].
    """

    oracle: ParametersOracle
    ball: Ball
    unit: Tensor
    targets: IntArray | None = None

    @property
    def n_users(self) -> int:
        """The number of evaluated users."""
        return self.oracle.n_users

    def genuine(self) -> Candidate:
        """Returns the perturbation δ = 0."""
        return self.oracle.zero()

    def proposals(self, attack: Attack, rng: Rng) -> Iterator[Proposal]:
        """Yields the candidates that the attack proposes.

        Raises:
            TypeError: if the attack does not perturb vectors.
        """
        if not isinstance(attack, EmbeddingAttack):
            raise TypeError(f"{type(attack).__name__} perturbs no tables")
        yield from in_turn(attack, attack.perturb(self.oracle, self.ball.copy(), rng))

    def within_budget(self, proposal: Proposal) -> Candidate:
        """Returns the proposal after projection onto the ball, row by row.

        Entries beyond the width of a table are set to zero.

        Raises:
            PluginError: if the perturbation is missing, does not have the shape of the tables, or is not finite.
        """
        shape = self.oracle.tables.valid.shape
        given = proposal.get(ROWS) if isinstance(proposal, Mapping) else None
        if not isinstance(given, Tensor) or given.shape != shape:
            raise PluginError(f"the attack gave no '{ROWS}' of shape {tuple(shape)}")
        if not bool(torch.isfinite(given).all()):
            raise PluginError("the attack gave a δ that is not finite")
        return project(self.oracle.masked({ROWS: given.detach()}), self.ball, self.costs)

    def damage(self, candidate: Candidate) -> Tensor:
        """Returns the damage to each user within the top k: float64 [users].

        ``Goal.damage_at_k`` defines this damage.
        """
        return torch.cat([judgement.damage for judgement in self._judge_users(candidate)])

    def judge(self, candidate: Candidate) -> Judgement:
        """Judges a candidate by the mean damage and the mean loss over all users.

        Every row of the tables gets the same judgement. No row ever counts as broken.
        """
        judgements = self._judge_users(candidate)
        damage, loss, _ = (torch.cat(list(part)).double().mean() for part in zip(*judgements, strict=True))
        rows = len(self.unit)
        never = torch.zeros(rows, dtype=torch.bool, device=self.unit.device)
        return Judgement(damage.expand(rows), loss.expand(rows), never)

    def _judge_users(self, candidate: Candidate) -> list[Judgement]:
        """Judges a candidate for each user and returns one judgement per chunk.

        The damage is that of ``Goal.damage_at_k``.
        """
        draws = list(self.oracle.host_scores(candidate))
        return [
            judge_scores(queries.goal, [draw[number] for draw in draws], Goal.damage_at_k)
            for number, queries in enumerate(self.oracle.queries)
        ]

    def rows(self, chosen: Tensor, expectation: int = 1) -> ParametersArena:
        """Returns an arena with all rows and with costs of its own.

        All rows must be chosen, because one perturbation changes all tables.

        Raises:
            ValueError: if a row is not chosen.
        """
        if len(chosen) != len(self.unit):
            raise ValueError("the tables are perturbed as a whole")
        draws = replace(self.oracle.draws, expectation=expectation)
        oracle = replace(self.oracle, draws=draws, costs=Costs())
        return replace(self, oracle=oracle)

    def stored(self, candidate: Candidate) -> CellArrays:
        """Returns the outcome and the losses of all users.

        The array ``hit``, bool [users], is True for each user that the attack has to break.
        """
        draws = [[scores.clone() for scores in draw] for draw in self.oracle.host_scores(candidate, last=True)]
        clean, attacked, parts = self._judge_users(self.genuine()), self._judge_users(candidate), []
        for number, (_, chunk, goal) in enumerate(self.oracle.queries):
            part = outcome_arrays([draw[number] for draw in draws], chunk, goal, self.targets)
            hit = ~clean[number].broken & goal.applies
            part |= {"clean_loss": clean[number].loss.cpu().numpy(), "loss": attacked[number].loss.cpu().numpy()}
            parts.append(part | {"hit": hit.cpu().numpy()})
        users = torch.cat([chunk.users for _, chunk, _ in self.oracle.queries]).cpu().numpy()
        return join_chunks(parts, users)

    def spent(self, candidate: Candidate) -> dict[str, float]:
        """Returns statistics of the perturbation over the rows of the tables, by name.

        These are the number of perturbed rows, and the maximum and the mean of three values per row: the L2 norm, the
        L∞ norm and the spent ε.
        """
        delta = candidate[ROWS]
        length, largest = delta.norm(dim=1), delta.abs().amax(1)
        share = sizes(candidate, self.ball.norm) / self.unit.clamp_min(TINY)
        spent = {
            "epsilon": share.max(),
            "epsilon_mean": share.mean(),
            "rows_moved": (length > 0).sum(),
            "l2_max": length.max(),
            "l2_mean": length.mean(),
            "linf_max": largest.max(),
            "linf_mean": largest.mean(),
        }
        return {name: float(value) for name, value in spent.items()}
