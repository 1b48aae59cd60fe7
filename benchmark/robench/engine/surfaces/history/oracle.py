"""The host's side of an attack on histories: edited histories go through the victim, and every query is counted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from robench.api.attacks.base import Evaluation, LossName
from robench.api.attacks.slopes import Slopes
from robench.api.data import IntArray, Interactions
from robench.api.models.base import Model
from robench.api.models.torch import TorchModel
from robench.api.rng import Rng
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.draws import Draws, gradient_of
from robench.engine.attack.goal import Goal
from robench.engine.attack.users import UserOracle
from robench.engine.rank.ranking import EvaluationChunk, entries_of, mask_known, restricted
from robench.engine.surfaces.history.slopes import ItemInputs, Reading


def padded(rows: Interactions, users: IntArray) -> Tensor:
    """The rows of ``users`` (int64 [B]): int64 [B, longest], right-padded with −1."""
    row, place, item = entries_of(rows, users)
    found = np.full((len(users), int(place.max(initial=-1)) + 1), -1, dtype=np.int64)
    found[row, place] = item
    return torch.from_numpy(found)


class EditedHistories:
    """Histories with some users' rows replaced, as a model reads them.

    Args:
        genuine: one row per real user.
        users: int64 [B], distinct: whose rows are replaced. All other rows are empty.
    """

    def __init__(self, genuine: Interactions, users: IntArray) -> None:
        self.genuine, self.users = genuine, users
        self._order = np.argsort(users, kind="stable")
        self._times = np.append(genuine.times, 0)

    def with_rows(self, rows: Tensor) -> Interactions:
        """``rows`` int64 [B, L] in place of the genuine ones. The item at place p keeps the time of the genuine one
        there, or of the last one.
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
    """A ``HistoryOracle`` over one chunk of users.

    Args:
        model: the victim, in eval mode if it is neural.
        history: what is known of each real user at test time.
        questions: masks and held-out items of these users, on the CPU.
        aim: the goal for them.
        limit: int64 [B], edits that each may have.
        draws: streams where the victim draws at test time.
        inputs: item vectors of the victim, shared by its chunks; None for a model without gradients.
    """

    model: Model
    history: Interactions
    chunk: EvaluationChunk
    goal: Goal
    limit: Tensor
    draws: Draws
    inputs: ItemInputs | None = None
    costs: Costs = field(default_factory=Costs)
    diagnosis: Diagnosis = field(default_factory=Diagnosis)

    def __post_init__(self) -> None:
        """Look at the genuine histories."""
        self._records = EditedHistories(self.history, self.users.numpy())
        self._rows = padded(self.history, self.users.numpy())
        self.start(self._rows)

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        return self.history.n_items

    @cached_property
    def forbidden(self) -> Tensor:
        """bool [B, n_items]: held-out and promoted items, which no edit may bring in."""
        found = torch.zeros(len(self.users), self.n_items + 1, dtype=torch.bool)
        for items in (self.chunk.held, self.goal.items):
            found.scatter_(1, torch.where(items >= 0, items, self.n_items), True)
        return found[:, :-1]

    def rows(self) -> Tensor:
        """int64 [B, L]."""
        return self._rows.clone()

    def budget(self) -> Tensor:
        """int64 [B]."""
        return self.limit.clone()

    def insertable(self, rows: Tensor | None = None) -> Tensor:
        """bool [B, n_items]: neither forbidden nor in the rows."""
        own = self._rows if rows is None else rows
        held = torch.zeros(len(own), self.n_items + 1, dtype=torch.bool)
        held.scatter_(1, torch.where(own >= 0, own, self.n_items), True)
        return ~(held[:, :-1] | self.forbidden)

    def uniform(self, rng: Rng, *shape: int) -> Tensor:
        """Uniform in [0, 1), a stream per user: float64 [B, *shape]."""
        draws = [rng.child("uniform", user).numpy().random(shape) for user in self.users.tolist()]
        return torch.from_numpy(np.array(draws, dtype=np.float64).reshape(len(draws), *shape))

    def seen(self, perturbed: Tensor) -> Tensor:
        """With these histories; the masks are those of the genuine ones."""
        raw = self.model.scores(self.users.numpy(), self._records.with_rows(perturbed))
        return mask_known(torch.from_numpy(np.ascontiguousarray(raw)), self.chunk)

    def evaluate(self, rows: Tensor, loss: LossName = "ce") -> Evaluation:
        """Loss and outcome with these histories."""
        return self.evaluated(rows, loss)

    def readable(self) -> bool:
        """Whether ``slopes`` will give any."""
        if self.inputs is None:
            return False
        rows = self._rows
        return self.inputs.read(self.users.numpy(), self._records.with_rows(rows), rows) is not None

    def slopes(self, rows: Tensor, loss: LossName = "ce") -> Slopes | None:
        """Slopes of the loss at these histories."""
        if self.inputs is None:
            return None
        reading = self.inputs.read(self.users.numpy(), self._records.with_rows(rows), rows)
        if reading is None:
            return None
        found = []
        for context in self.counted(gradients=True):
            with context:
                found.append(self._gradient(self.inputs.model, reading, loss))
        return self.inputs.slopes(reading, self.settled(found))

    def _gradient(self, model: TorchModel, reading: Reading, loss: LossName) -> dict[str, Tensor]:
        leaves = {name: part.detach().requires_grad_() for name, part in reading.e.inputs.items()}
        # cuDNN's recurrent kernels give no gradient in eval mode.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            scores = model.score_from(reading.batch, replace(reading.e, inputs=leaves)).cpu()
            return gradient_of(self.goal.loss(mask_known(scores, self.chunk), loss), leaves)

    def restricted(self, chosen: Tensor, costs: Costs, expectation: int = 1) -> EditOracle:
        """The oracle of some users (int64 [b]); it shares the diagnosis."""
        chunk, goal = restricted(self.chunk, chosen), self.goal.rows(chosen)
        draws, limit = replace(self.draws, expectation=expectation), self.limit[chosen]
        return EditOracle(self.model, self.history, chunk, goal, limit, draws, self.inputs, costs, self.diagnosis)
