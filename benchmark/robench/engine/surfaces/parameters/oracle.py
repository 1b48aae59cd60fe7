"""Answers an attack's queries about perturbed embedding tables and counts them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from robench.api.attacks.ball import Delta, linf
from robench.api.attacks.base import Evaluation, LossName, OwnLoss
from robench.api.data import Interactions
from robench.api.models.pairwise import sample_negatives
from robench.api.models.torch import Batch
from robench.api.rng import Rng
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.draws import Draws, mean
from robench.engine.attack.gradients import finite, gradient_of
from robench.engine.attack.victim import Queries
from robench.engine.rank.chunk import EvaluationChunk, mask_known
from robench.engine.surfaces.parameters.tables import Shiftable

DIAGNOSED = 64  # the largest number of users for which gradients are diagnosed
ALL = -1  # an id that represents all users, so that the diagnosis runs only once
ROWS = "rows"  # the only input: all rows of all tables, stacked


@dataclass(eq=False)
class ParametersOracle:
    """An ``Oracle`` for one perturbation δ of the embedding tables, for all users.

    A row of δ belongs to one of the R rows of the tables. Every row has the same loss, which is the mean over all
    users. If the attack pushes known items down, the loss is the mean over all pairs of a known and an unused item.

    Args:
        tables: the embedding tables of the victim, or the vectors of items that it reads.
        queries: the queries of each chunk.
        draws: the random streams for a victim that draws random numbers at test time.
        known: the known items, if the attack pushes known items down, or None if it does not.
        costs: the counts of the attack's queries.
        diagnosis: the diagnosis of the attack's gradients.
    """

    tables: Shiftable
    queries: list[Queries]
    draws: Draws
    known: Interactions | None = None
    costs: Costs = field(default_factory=Costs)
    diagnosis: Diagnosis = field(default_factory=Diagnosis)
    _evaluations: int = field(default=0, init=False)

    @cached_property
    def n_users(self) -> int:
        """The number of users that one evaluation scores."""
        return sum(len(chunk.users) for _, chunk, _ in self.queries)

    @property
    def to_break(self) -> Tensor:
        """True for every row, because one perturbation serves all users: bool [R]."""
        return torch.ones(len(self.tables.valid), dtype=torch.bool, device=self.tables.valid.device)

    def zero(self) -> dict[str, Tensor]:
        """Returns the perturbation δ = 0."""
        return {ROWS: torch.zeros(self.tables.valid.shape, device=self.tables.valid.device)}

    def lengths(self) -> Tensor:
        """Returns the number of entries that may be perturbed in each row, float [R].

        This number is the width of the row's table.
        """
        return self.tables.valid.sum(1).float()

    def masked(self, delta: Delta) -> dict[str, Tensor]:
        """Returns a perturbation with zeros at the entries beyond the width of a table."""
        return {ROWS: delta[ROWS] * self.tables.valid}

    def evaluate(self, delta: Delta, loss: LossName | OwnLoss = "ce") -> Evaluation:
        """Returns the loss for perturbed tables, without a gradient."""
        return self._evaluate(delta, loss, gradient=False)

    def gradient(self, delta: Delta, loss: LossName | OwnLoss = "ce", rival: Tensor | None = None) -> Evaluation:
        """Returns the loss for perturbed tables, and the gradient of this loss.

        The argument ``rival`` is ignored, because one perturbation serves all users.
        """
        return self._evaluate(delta, loss, gradient=True)

    def rivals(self, count: int) -> Tensor:
        """Returns an empty tensor, int64 [R, 0], for R rows of tables.

        One perturbation serves all users, so no rival belongs to a row.
        """
        return torch.empty(len(self.tables.valid), 0, dtype=torch.int64)

    def normal(self, rng: Rng) -> dict[str, Tensor]:
        """Draws a standard normal value for each entry of the tables."""
        draw = torch.randn(self.tables.valid.shape, generator=rng.child("normal").torch())
        return self.masked({ROWS: draw.to(self.tables.valid.device)})

    def uniform(self, rng: Rng) -> dict[str, Tensor]:
        """Draws a uniform value in [−1, 1] for each entry of the tables."""
        draw = torch.rand(self.tables.valid.shape, generator=rng.child("uniform").torch()) * 2 - 1
        return self.masked({ROWS: draw.to(self.tables.valid.device)})

    def host_scores(self, delta: Delta, *, last: bool = False) -> Iterator[list[Tensor]]:
        """Yields the masked scores of all chunks in a list, once per scoring by the host.

        Args:
            delta: the perturbation.
            last: whether to use the fresh streams for stored arrays.
        """
        tables = self.tables.plus(delta[ROWS])
        for context in self.draws.host(last=last):
            with torch.no_grad(), context:
                yield [self._scores(tables, batch, chunk) for batch, chunk, _ in self.queries]

    def _scores(self, tables: Delta, batch: Batch, chunk: EvaluationChunk) -> Tensor:
        """Returns the masked scores of a chunk with perturbed tables, float [B, n_items]."""
        return mask_known(self._raw_scores(tables, batch), chunk)

    def _raw_scores(self, tables: Delta, batch: Batch) -> Tensor:
        model = self.tables.model
        return model.under(tables, lambda: model.score_from(batch, model.embed(batch)))

    def _evaluate(self, delta: Delta, loss: LossName | OwnLoss, *, gradient: bool) -> Evaluation:
        values, slopes = [], []
        leaf = delta[ROWS].detach().requires_grad_(gradient)
        pairs = self._draw_pairs()
        for context in self.draws.attack():
            self.costs.queries += self.n_users
            self.costs.gradients += self.n_users if gradient else 0
            # The loss is summed on the device, so that no chunk waits for an earlier chunk. A float64 sum is as precise
            # as a sum of Python floats.
            value, slope = leaf.detach().new_zeros((), dtype=torch.float64), torch.zeros_like(leaf)
            with torch.set_grad_enabled(gradient), context:
                for part in self._losses(self.tables.plus(leaf), loss, pairs):
                    value = value + part.detach()
                    if gradient:
                        slope += gradient_of(part, {ROWS: leaf})[ROWS]
            values.append(value.to(leaf.dtype))
            slopes.append(slope)
        rows = len(leaf)
        value_of_rows = mean(values).expand(rows)
        never = torch.zeros(rows, dtype=torch.bool, device=leaf.device)
        if not gradient:
            return Evaluation(value_of_rows, never)
        if self.diagnosis.take_new([ALL]):
            sizes = list(self._own_gradient_sizes(delta, loss))
            self.diagnosis.note(torch.stack(sizes) if sizes else torch.empty(0))
        return Evaluation(value_of_rows, never, self.masked(finite({ROWS: mean(slopes)})))

    def _losses(
        self, tables: Delta, name: LossName | OwnLoss, pairs: list[tuple[Tensor, ...]] | None
    ) -> Iterator[Tensor]:
        """Yields the contribution of each chunk to the mean loss."""
        for number, (batch, chunk, goal) in enumerate(self.queries):
            if pairs is None:
                yield goal.loss(self._scores(tables, batch, chunk), name).sum() / self.n_users
                continue
            scores = self._raw_scores(tables, batch)
            row, positive, negative = pairs[number]
            gap = scores[row, negative] - scores[row, positive]
            yield torch.nn.functional.softplus(gap).sum() / sum(len(part[0]) for part in pairs)

    def _draw_pairs(self) -> list[tuple[Tensor, ...]] | None:
        """Draws an unused item for each known item, as in BPR.

        Every call draws new items.

        Returns:
            For each chunk, the row, the known item and the unused item of every pair, int64 [m] each. The result is
            None if the attack does not push known items down.
        """
        if self.known is None:
            return None
        self._evaluations += 1
        pairs = []
        for _, chunk, _ in self.queries:
            users = chunk.users.cpu().numpy()
            lengths = self.known.lengths()[users]
            row = np.repeat(np.arange(len(users)), lengths)
            place = np.concatenate([np.arange(self.known.indptr[u], self.known.indptr[u + 1]) for u in users])
            generator = self.draws.attack_rng.child("pairs", self._evaluations, int(users[0])).numpy()
            negatives = sample_negatives(users[row], self.known, generator)
            parts = (row, self.known.items[place], negatives)
            pairs.append(tuple(torch.from_numpy(np.array(part)).to(chunk.users.device) for part in parts))
        return pairs

    def _own_gradient_sizes(self, delta: Delta, loss: LossName | OwnLoss) -> Iterator[Tensor]:
        """Yields the size of the gradient of one user's loss, for some users.

        The size is the largest absolute entry of the gradient. At most ``DIAGNOSED`` users are covered, and only users
        that the attack still has to break. The gradient of a sum over all users would hide users without a gradient.
        """
        places = []
        for number, (batch, chunk, goal) in enumerate(self.queries):
            with torch.no_grad():
                hit = ~goal.broken(self._scores(self.tables.weights, batch, chunk)) & goal.applies
            places += [(number, row) for row in hit.nonzero(as_tuple=True)[0].tolist()]
        for number, row in places[:: max(1, math.ceil(len(places) / DIAGNOSED))]:
            batch, chunk, goal = self.queries[number]
            one = torch.tensor([row], device=chunk.users.device)
            single = Batch(batch.users[one], batch.histories[one])
            leaf = delta[ROWS].detach().requires_grad_()
            with torch.enable_grad(), next(self.draws.host()):
                scores = self._scores(self.tables.plus(leaf), single, chunk.rows(one))
                size = linf(gradient_of(goal.rows(one).loss(scores, loss), {ROWS: leaf})).amax()
            yield size
