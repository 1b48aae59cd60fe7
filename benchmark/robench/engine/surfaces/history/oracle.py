"""Answers an attack's queries about edited histories and counts them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from robench.api.attacks.base import Evaluation, LossName
from robench.api.attacks.slopes import Slopes
from robench.api.data import IntArray, Interactions
from robench.api.errors import PluginError
from robench.api.models.base import Model
from robench.api.models.torch import TorchModel
from robench.api.rng import Rng
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.draws import Draws, mean
from robench.engine.attack.goal import Goal
from robench.engine.attack.gradients import gradient_of
from robench.engine.attack.users import UserOracle
from robench.engine.rank.chunk import NOT_FINITE, EvaluationChunk, flatten_rows, mask_known
from robench.engine.rank.scoring import score_users
from robench.engine.surfaces.history.budget import EditLimits
from robench.engine.surfaces.history.slopes import EmbeddedHistories, ItemInputs


def padded_rows(histories: Interactions, users: IntArray) -> Tensor:
    """Returns the histories of some users, int64 [B, longest], right-padded with −1."""
    row, place, item = flatten_rows(histories, users)
    table = np.full((len(users), int(place.max(initial=-1)) + 1), -1, dtype=np.int64)
    table[row, place] = item
    return torch.from_numpy(table)


class EditedHistories:
    """A builder of histories that hold only the edited rows of some users.

    Args:
        genuine: the genuine histories, one row per real user.
        users: the distinct users with edited rows, int64 [B].
    """

    def __init__(self, genuine: Interactions, users: IntArray) -> None:
        self.genuine, self.users = genuine, users
        self._order = np.argsort(users, kind="stable")
        self._times = np.append(genuine.times, 0)

    def with_rows(self, rows: Tensor) -> Interactions:
        """Returns histories with the given rows (int64 [B, L]) and no other rows.

        The rows of all other users are empty. An item gets the time of the genuine item at the same position, or the
        last genuine time if the genuine history is shorter. If the genuine history is empty, the time is 0.
        """
        table = rows.numpy()[self._order]
        users, real = self.users[self._order], table >= 0
        lengths = np.zeros(self.genuine.n_users + 1, dtype=np.int64)
        lengths[users + 1] = real.sum(1)
        start, length = self.genuine.indptr[users], self.genuine.lengths()[users]
        row, place = real.nonzero()
        at = np.where(length[row] > 0, start[row] + np.minimum(place, length[row] - 1), len(self._times) - 1)
        return Interactions(np.cumsum(lengths), table[real], self._times[at], self.genuine.n_items)


@dataclass(eq=False)
class EditOracle(UserOracle[Tensor]):
    """A ``HistoryOracle`` for one chunk of users.

    Instances are built by ``read``.

    Args:
        model: the victim, in evaluation mode if it is neural.
        history: the items that are known at test time, one row per real user.
        chunk: the masks and held-out items of these users, on the CPU.
        goal: the goal of these users.
        limits: the limits of each user's edits.
        draws: the random streams for a victim that draws random numbers at test time.
        inputs: the object that computes slopes for all chunks, or None for a model without gradients.
        costs: the counts of the attack's queries.
        diagnosis: the diagnosis of the attack's gradients.
    """

    model: Model
    history: Interactions
    chunk: EvaluationChunk
    goal: Goal
    limits: EditLimits
    draws: Draws
    inputs: ItemInputs | None = None
    costs: Costs = field(default_factory=Costs)
    diagnosis: Diagnosis = field(default_factory=Diagnosis)
    _chunk_there: EvaluationChunk | None = field(default=None, init=False)  # the chunk on the scores' device

    @classmethod
    def read(
        cls,
        model: Model,
        history: Interactions,
        chunk: EvaluationChunk,
        goal: Goal,
        limits: EditLimits,
        draws: Draws,
        inputs: ItemInputs | None,
        costs: Costs,
        diagnosis: Diagnosis,
    ) -> EditOracle:
        """Builds an oracle that has judged the genuine histories."""
        oracle = cls(model, history, chunk, goal, limits, draws, inputs, costs, diagnosis)
        oracle.judge_genuine(oracle.rows())
        return oracle

    @cached_property
    def _genuine(self) -> Tensor:
        return padded_rows(self.history, self.users.numpy())

    @cached_property
    def _histories(self) -> EditedHistories:
        return EditedHistories(self.history, self.users.numpy())

    @property
    def n_items(self) -> int:
        """The number of items in the catalogue."""
        return self.history.n_items

    @cached_property
    def forbidden(self) -> Tensor:
        """True for each item that no edit may add: bool [B, n_items].

        These are the held-out items and the promoted items of each user, and items that are not plausible.
        """
        table = torch.zeros(len(self.users), self.n_items + 1, dtype=torch.bool)
        if self.limits.implausible is not None:
            table[:, :-1] = self.limits.implausible
        for items in (self.chunk.held, self.goal.items):
            table.scatter_(1, torch.where(items >= 0, items, self.n_items), True)
        return table[:, :-1]

    def rows(self) -> Tensor:
        """Returns the genuine histories, int64 [B, L]."""
        return self._genuine.clone()

    def budget(self) -> Tensor:
        """Returns the maximum number of edits for each user, int64 [B]."""
        return self.limits.edits.clone()

    def insertable(self, rows: Tensor | None = None) -> Tensor:
        """Returns a mask of the items that may be added to each row: bool [B, n_items].

        An item may be added if it is neither forbidden nor already in the row.

        Args:
            rows: the histories, int64 [B, L]. The default is the genuine histories.
        """
        own = self._genuine if rows is None else rows
        known = torch.zeros(len(own), self.n_items + 1, dtype=torch.bool)
        known.scatter_(1, torch.where(own >= 0, own, self.n_items), True)
        return ~(known[:, :-1] | self.forbidden)

    def uniform(self, rng: Rng, *shape: int) -> Tensor:
        """Draws uniform numbers in [0, 1): float64 [B, *shape].

        Each user has a separate random stream, so the numbers do not depend on the chunks.
        """
        draws = [rng.child("uniform", user).numpy().random(shape) for user in self.users.tolist()]
        return torch.from_numpy(np.array(draws, dtype=np.float64).reshape(len(draws), *shape))

    def scores_at(self, perturbed: Tensor) -> Tensor:
        """Returns the users' masked scores for the given histories.

        The result is float [B, n_items], with −inf at the items of the genuine histories.

        Args:
            perturbed: the edited histories, int64 [B, L].
        """
        raw = score_users(self.model, self.users.numpy(), self._histories.with_rows(perturbed))
        return self._masked(raw if isinstance(raw, Tensor) else torch.from_numpy(np.ascontiguousarray(raw)))

    def _masked(self, scores: Tensor) -> Tensor:
        """Returns ``scores`` with −inf at the items of the genuine histories."""
        if self._chunk_there is None or self._chunk_there.users.device != scores.device:
            self._chunk_there = self.chunk.to(scores.device)
        return mask_known(scores, self._chunk_there)

    def evaluate(self, rows: Tensor, loss: LossName = "ce") -> Evaluation:
        """Returns the loss and the outcome at these histories."""
        return self.evaluate_loss(rows, loss)

    @property
    def additive(self) -> bool:
        """True if scores are a sum over the items of a history.

        The model declares this, and the host has verified it.
        """
        return self.limits.additive

    def goal_items(self) -> Tensor:
        """Returns the items of each user's goal: int64 [B, H], padded with −1."""
        return self.goal.items.clone()

    def scores(self, rows: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Returns the scores of all items for edited histories.

        The result is float [b, n_items], on the CPU. The items of the genuine histories have the score −inf. Each user
        counts as one query per scoring. If the victim draws random numbers, the result is a mean over the scorings of
        an evaluation.

        Args:
            rows: the histories of the chosen users, int64 [b, any L].
            chosen: the positions of distinct users in ``users``, int64 [b]. The default is all users.

        Raises:
            PluginError: if the model gives a score that is not finite.
        """
        positions = torch.arange(len(self.chunk.users)) if chosen is None else chosen
        users = self.chunk.users[positions].numpy()
        history, parts = EditedHistories(self.history, users).with_rows(rows), []
        for context in self.draws.attack():
            self.costs.queries += len(users)
            with context:
                raw = score_users(self.model, users, history)
            parts.append(raw.cpu() if isinstance(raw, Tensor) else torch.from_numpy(np.ascontiguousarray(raw)))
        scores = mean(parts)
        if not bool(torch.isfinite(scores).all()):
            raise PluginError(NOT_FINITE)
        return scores.masked_fill(self._known[positions], -torch.inf)

    @cached_property
    def _known(self) -> Tensor:
        """True for each masked item of each user: bool [B, n_items]."""
        table = torch.zeros(len(self.chunk.users), self.n_items, dtype=torch.bool)
        table[self.chunk.masked] = True
        return table

    def readable(self) -> bool:
        """Returns whether ``slopes`` works for this victim."""
        if self.inputs is None:
            return False
        rows = self._genuine
        return self.inputs.embed(self.users.numpy(), self._histories.with_rows(rows), rows) is not None

    def slopes(self, rows: Tensor, loss: LossName = "ce") -> Slopes | None:
        """Returns the slopes of the loss at these histories, or None.

        The result is None if the model has no gradients, or if ``ItemInputs`` does not support the model's inputs.
        """
        if self.inputs is None:
            return None
        embedded = self.inputs.embed(self.users.numpy(), self._histories.with_rows(rows), rows)
        if embedded is None:
            return None
        parts = []
        for context in self.count_draws(gradients=True):
            with context:
                parts.append(self._gradient(self.inputs.model, embedded, loss))
        return self.inputs.slopes(embedded, self.average_gradient(parts))

    def _gradient(self, model: TorchModel, embedded: EmbeddedHistories, loss: LossName) -> dict[str, Tensor]:
        leaves = {name: part.detach().requires_grad_() for name, part in embedded.e.inputs.items()}
        with torch.enable_grad():
            scores = self._masked(model.score_from(embedded.batch, replace(embedded.e, inputs=leaves)))
            return gradient_of(self.goal.to(scores.device).loss(scores, loss), leaves)

    def restricted(self, chosen: Tensor, costs: Costs, expectation: int = 1) -> EditOracle:
        """Returns an oracle for the users at some positions (int64 [b]).

        The new oracle shares the diagnosis, but counts queries in ``costs``.
        """
        chunk, goal = self.chunk.rows(chosen), self.goal.rows(chosen)
        draws, limits = replace(self.draws, expectation=expectation), self.limits.rows(chosen)
        return self.read(self.model, self.history, chunk, goal, limits, draws, self.inputs, costs, self.diagnosis)
