"""The surface ``parameters``: one δ on the embedding tables, shared by all users (APR's and MSAP's setting)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from robench.api.attacks.ball import Ball, Delta, linf, sizes
from robench.api.attacks.base import Attack, Evaluation, LossName
from robench.api.attacks.embedding import EmbeddingAttack
from robench.api.data import IntArray, Interactions
from robench.api.errors import PluginError
from robench.api.models.pairwise import sample_negatives
from robench.api.models.torch import Batch, TorchModel
from robench.api.rng import Rng
from robench.engine.attack.arena import Arena, Arrays, Candidate, Proposed, joined
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.draws import Draws, Judgement, diagnose, finite, gradient_of, mean, mean_look
from robench.engine.attack.goal import Goal
from robench.engine.attack.users import outcome
from robench.engine.rank.ranking import EvaluationChunk, mask_known, restricted
from robench.engine.surfaces.embedding import TINY, projected

JUDGED = 64  # users whose own gradients are looked at
ALL = -1  # in place of a user, once that is done
ROWS = "rows"  # the one input: all rows of all tables, one below the other


@dataclass(eq=False)
class Tables:
    """The embedding tables of a victim as one matrix [R, d], d the widest; narrower tables use their first columns."""

    model: TorchModel

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The declared tables by name.

        Raises:
            PluginError: a table that the model does not have, or that is no matrix.
        """
        known = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        missing = [name for name in self.model.tables if name not in known or known[name].dim() != 2]
        if missing or not self.model.tables:
            told = f"no matrix '{missing[0]}'" if missing else "no tables"
            raise PluginError(f"{type(self.model).__name__} has {told} to perturb")
        return {name: known[name].detach() for name in self.model.tables}

    @cached_property
    def valid(self) -> Tensor:
        """Which entries belong to a table: bool [R, d]."""
        width = max(weight.shape[1] for weight in self.weights.values())
        parts = [torch.arange(width, device=w.device).expand(len(w), width) < w.shape[1] for w in self.weights.values()]
        return torch.cat(parts)

    def moved(self, delta: Tensor) -> dict[str, Tensor]:
        """The tables plus δ [R, d]."""
        found, start = {}, 0
        for name, weight in self.weights.items():
            found[name] = weight + delta[start : start + len(weight), : weight.shape[1]]
            start += len(weight)
        return found

    def unit(self, norm: str, scale: str) -> Tensor:
        """The radius of every row at ε = 1, float [R]: its table's mean row norm (l2), that over √d (linf), or 1."""
        parts = []
        for weight in self.weights.values():
            size = float(weight.norm(dim=1).mean()) / (weight.shape[1] ** 0.5 if norm == "linf" else 1.0)
            parts.append(torch.full((len(weight),), size if scale == "relative" else 1.0, device=weight.device))
        return torch.cat(parts)


@dataclass(eq=False)
class ParametersOracle:
    """An ``Oracle`` whose rows are rows of the tables; every row is told the mean loss over all users.

    Args:
        tables: of the victim.
        chunks: its users: queries, questions and aim.
        draws: streams where the victim draws at test time.
        known: per chunk the known items, where their fall counts instead of the held-out items'.
    """

    tables: Tables
    chunks: list[tuple[Batch, EvaluationChunk, Goal]]
    draws: Draws
    known: Interactions | None = None
    costs: Costs = field(default_factory=Costs)
    diagnosis: Diagnosis = field(default_factory=Diagnosis)
    _asked: int = 0

    @cached_property
    def n_users(self) -> int:
        """How many users one look scores."""
        return sum(len(chunk.users) for _, chunk, _ in self.chunks)

    @property
    def to_break(self) -> Tensor:
        """bool [R]: every row serves all users."""
        return torch.ones(len(self.tables.valid), dtype=torch.bool, device=self.tables.valid.device)

    def zero(self) -> dict[str, Tensor]:
        """δ = 0."""
        return {ROWS: torch.zeros(self.tables.valid.shape, device=self.tables.valid.device)}

    def lengths(self) -> Tensor:
        """Width of each row's table: float [R]."""
        return self.tables.valid.sum(1).float()

    def masked(self, delta: Delta) -> dict[str, Tensor]:
        """Zero beyond a table's width."""
        return {ROWS: delta[ROWS] * self.tables.valid}

    def raw(self, moved: Delta, batch: Batch) -> Tensor:
        """Scores of a chunk under moved tables: float [B, n_items]."""
        model = self.tables.model
        return model.under(moved, lambda: model.score_from(batch, model.embed(batch)))

    def scores(self, moved: Delta, batch: Batch, chunk: EvaluationChunk) -> Tensor:
        """The same with −inf where masked."""
        return mask_known(self.raw(moved, batch), chunk)

    def _losses(
        self, moved: Delta, name: LossName, pairs: list[tuple[Tensor, ...]] | None
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Per chunk the summed loss, and the scores where they are the held-out items' own."""
        for number, (batch, chunk, goal) in enumerate(self.chunks):
            if pairs is None:
                scores = self.scores(moved, batch, chunk)
                yield goal.loss(scores, name).sum() / self.n_users, scores
                continue
            scores = self.raw(moved, batch)
            row, positive, negative = pairs[number]
            gap = scores[row, negative] - scores[row, positive]
            yield torch.nn.functional.softplus(gap).sum() / sum(len(part[0]) for part in pairs), None

    def _pairs(self) -> list[tuple[Tensor, ...]] | None:
        """A fresh unused item per known one, as BPR draws them; None where held-out items count."""
        if self.known is None:
            return None
        self._asked += 1
        found = []
        for _, chunk, _ in self.chunks:
            users = chunk.users.cpu().numpy()
            lengths = self.known.lengths()[users]
            row = np.repeat(np.arange(len(users)), lengths)
            place = np.concatenate([np.arange(self.known.indptr[u], self.known.indptr[u + 1]) for u in users])
            generator = self.draws.asked.child("pairs", self._asked, int(users[0])).numpy()
            negatives = sample_negatives(users[row], self.known, generator)
            parts = (row, self.known.items[place], negatives)
            found.append(tuple(torch.from_numpy(np.array(part)).to(chunk.users.device) for part in parts))
        return found

    def _evaluated(self, delta: Delta, loss: LossName, want: bool) -> Evaluation:
        values, slopes = [], []
        leaf = delta[ROWS].detach().requires_grad_(want)
        pairs = self._pairs()
        for context in self.draws.attack():
            self.costs.queries += self.n_users
            self.costs.gradients += self.n_users if want else 0
            value, slope = 0.0, torch.zeros_like(leaf)
            with torch.set_grad_enabled(want), torch.backends.cudnn.flags(enabled=not want), context:
                for part, _ in self._losses(self.tables.moved(leaf), loss, pairs):
                    value += float(part.detach())
                    if want:
                        slope += gradient_of(part, {ROWS: leaf})[ROWS]
            values.append(leaf.new_tensor(value))
            slopes.append(slope)
        rows = len(leaf)
        found = mean(values).expand(rows)
        never = torch.zeros(rows, dtype=torch.bool, device=leaf.device)
        if not want:
            return Evaluation(found, never)
        gradient = {ROWS: mean(slopes)}
        if self.diagnosis.fresh([ALL]):
            self._judge(delta, loss)
        return Evaluation(found, never, self.masked(finite(gradient)))

    def _judge(self, delta: Delta, loss: LossName) -> None:
        """The gradient of single users' own losses, of at most ``JUDGED`` who are to be broken: in the sum over all of
        them nobody sees who has none. Not counted.
        """
        found = list(self._own_slopes(delta, loss))
        diagnose(self.diagnosis, torch.stack(found) if found else torch.empty(0))

    def _own_slopes(self, delta: Delta, loss: LossName) -> Iterator[Tensor]:
        """The largest entry of the gradient of each one's own loss."""
        places = []
        for number, (batch, chunk, goal) in enumerate(self.chunks):
            with torch.no_grad():
                hit = ~goal.broken(self.scores(self.tables.weights, batch, chunk)) & (goal.items >= 0).any(1)
            places += [(number, row) for row in hit.nonzero(as_tuple=True)[0].tolist()]
        for number, row in places[:: max(1, math.ceil(len(places) / JUDGED))]:
            batch, chunk, goal = self.chunks[number]
            one = torch.tensor([row], device=chunk.users.device)
            asked = Batch(batch.users[one], batch.histories[one])
            leaf = delta[ROWS].detach().requires_grad_()
            with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False), next(self.draws.host()):
                scores = self.scores(self.tables.moved(leaf), asked, restricted(chunk, one))
                value = goal.rows(one).loss(scores, loss)
                yield linf(gradient_of(value, {ROWS: leaf})).amax()

    def evaluate(self, delta: Delta, loss: LossName = "ce") -> Evaluation:
        """The mean loss at δ."""
        return self._evaluated(delta, loss, want=False)

    def gradient(self, delta: Delta, loss: LossName = "ce", rival: Tensor | None = None) -> Evaluation:
        """The mean loss and its gradient at δ."""
        return self._evaluated(delta, loss, want=True)

    def rivals(self, count: int) -> Tensor:
        """None: one δ serves all users."""
        return torch.empty(len(self.tables.valid), 0, dtype=torch.int64)

    def normal(self, rng: Rng) -> dict[str, Tensor]:
        """Standard normal."""
        draw = torch.randn(self.tables.valid.shape, generator=rng.child("normal").torch())
        return self.masked({ROWS: draw.to(self.tables.valid.device)})

    def uniform(self, rng: Rng) -> dict[str, Tensor]:
        """Uniform in [−1, 1]."""
        draw = torch.rand(self.tables.valid.shape, generator=rng.child("uniform").torch()) * 2 - 1
        return self.masked({ROWS: draw.to(self.tables.valid.device)})

    def looks(self, delta: Delta, *, last: bool = False) -> Iterator[list[Tensor]]:
        """Per draw of the host's (``last``: for what is stored) the masked scores of every chunk."""
        moved = self.tables.moved(delta[ROWS])
        for context in self.draws.host(last=last):
            with torch.no_grad(), context:
                yield [self.scores(moved, batch, chunk) for batch, chunk, _ in self.chunks]


@dataclass(eq=False)
class ParametersArena(Arena):
    """All users of a victim.

    Args:
        oracle: of the victim.
        ball: the budget of every row of the tables.
        unit: the radius at ε = 1, float [R].
        targets: items whose ranks are stored.
    """

    oracle: ParametersOracle
    ball: Ball
    unit: Tensor
    targets: IntArray | None = None

    @property
    def n_users(self) -> int:
        """All of them."""
        return self.oracle.n_users

    def genuine(self) -> Candidate:
        """δ = 0."""
        return self.oracle.zero()

    def proposals(self, attack: Attack, rng: Rng) -> Iterator[Proposed]:
        """Candidates within the ball."""
        if not isinstance(attack, EmbeddingAttack):
            raise TypeError(f"{type(attack).__name__} perturbs no tables")
        yield from attack.perturb(self.oracle, self.ball.copy(), rng)

    def checked(self, proposed: Proposed) -> Candidate:
        """Masked, then projected row by row."""
        wanted = self.oracle.tables.valid.shape
        if ROWS not in proposed or proposed[ROWS].shape != wanted:
            raise PluginError(f"the attack gave no '{ROWS}' of shape {tuple(wanted)}")
        if not bool(torch.isfinite(proposed[ROWS]).all()):
            raise PluginError("the attack gave a δ that is not finite")
        return projected(self.oracle.masked({ROWS: proposed[ROWS].detach()}), self.ball, self.costs)

    def _seen(self, candidate: Candidate) -> list[Judgement]:
        """Per chunk, per user; the damage is that within the top k."""
        draws = list(self.oracle.looks(candidate))
        return [
            mean_look(goal, [draw[number] for draw in draws], goal.damage_at_k)
            for number, (_, _, goal) in enumerate(self.oracle.chunks)
        ]

    def damage(self, candidate: Candidate) -> Tensor:
        """Within the top k, float64 [U]: −NDCG@k of the held-out items, or NDCG@k of the promoted ones."""
        return torch.cat([look.damage for look in self._seen(candidate)])

    def look(self, candidate: Candidate) -> Judgement:
        """Means over all users, told to every row."""
        damage, loss, _ = (torch.cat(list(part)).double().mean() for part in zip(*self._seen(candidate), strict=True))
        rows = len(self.unit)
        never = torch.zeros(rows, dtype=torch.bool, device=self.unit.device)
        return Judgement(damage.expand(rows), loss.expand(rows), never)

    def rows(self, chosen: Tensor, expectation: int = 1) -> ParametersArena:
        """All of them: a table is perturbed as a whole."""
        if len(chosen) != len(self.unit):
            raise ValueError("the tables are perturbed as a whole")
        o = self.oracle
        draws = replace(o.draws, expectation=expectation)
        fresh = ParametersOracle(o.tables, o.chunks, draws, o.known, Costs(), o.diagnosis)
        return ParametersArena(fresh, self.ball, self.unit, self.targets)

    def stored(self, candidate: Candidate) -> Arrays:
        """Ranks, lists and losses per user."""
        draws = [[scores.clone() for scores in draw] for draw in self.oracle.looks(candidate, last=True)]
        clean, moved, parts = self._seen(self.genuine()), self._seen(candidate), []
        for number, (_, chunk, goal) in enumerate(self.oracle.chunks):
            part = outcome([draw[number] for draw in draws], chunk, goal, self.targets)
            hit = ~clean[number].broken & (goal.items >= 0).any(1)
            part |= {"clean_loss": clean[number].loss.cpu().numpy(), "loss": moved[number].loss.cpu().numpy()}
            parts.append(part | {"hit": hit.cpu().numpy()})
        users = torch.cat([chunk.users for _, chunk, _ in self.oracle.chunks]).cpu().numpy()
        return joined(parts, users)

    def spent(self, candidate: Candidate) -> dict[str, float]:
        """What of the budget was spent: rows of the tables that moved, their norms, and ε."""
        delta = candidate[ROWS]
        length, largest = delta.norm(dim=1), delta.abs().amax(1)
        share = sizes(candidate, self.ball.norm) / self.unit.clamp_min(TINY)
        found = {"epsilon": share.max(), "epsilon_mean": share.mean(), "rows_moved": (length > 0).sum()}
        found |= {
            "l2_max": length.max(),
            "l2_mean": length.mean(),
            "linf_max": largest.max(),
            "linf_mean": largest.mean(),
        }
        return {name: float(value) for name, value in found.items()}
