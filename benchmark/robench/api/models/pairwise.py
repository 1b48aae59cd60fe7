"""The base class of models that train on (user, positive, negative) triples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import embedding, softplus

from robench.api.data import IntArray, Interactions, TrainData
from robench.api.models.base import ColdUser
from robench.api.models.divergence import Logits
from robench.api.models.terms import Terms
from robench.api.models.torch import Batch, Embedded, Losses, TorchModel
from robench.api.rng import Rng

FOLD_IN_STEPS, FOLD_IN_RATE = 60, 0.1  # Adam on standardised coordinates: a step is a tenth of a standard deviation
FOLD_IN_ROWS, FOLD_IN_ENTRIES = 256, 1 << 22  # the most newcomers, and the most scores, in one call of ``fold_in``


def sample_negatives(users: IntArray, train: Interactions, generator: np.random.Generator) -> IntArray:
    """Draws, for each entry of ``users``, one item that the user has not used.

    Each draw is uniform over the unused items. If a user has at least as many interactions as the catalogue has items,
    the item is arbitrary.

    Args:
        users: the users to draw for, int64 [n].
        train: the interactions of all users.
        generator: the source of the draws.

    Returns:
        The drawn items, int64 [n].
    """
    n_items = train.n_items
    known = train.keys
    drawn = generator.integers(0, n_items, len(users))
    full = train.lengths() >= n_items
    todo = np.flatnonzero(~full[users]) if full.any() else np.arange(len(users))
    while len(todo) and len(known):
        keys = users[todo] * n_items + drawn[todo]
        place = np.searchsorted(known, keys)
        todo = todo[known[np.minimum(place, len(known) - 1)] == keys]
        drawn[todo] = generator.integers(0, n_items, len(todo))
    return drawn


class PairwiseModel(TorchModel):
    """A model that has one vector per user and is trained with the BPR loss.

    A triple is a user, a positive item and a negative item, and its loss is −ln σ(p − n) (Rendle et al., UAI 2009,
    equation 4). Here p is the score of the positive, n is the score of the negative, and σ is the logistic function.
    Each interaction gets one negative, drawn uniformly from the unused items. A subclass builds the tables. The method
    ``embed`` of the subclass returns the input ``user`` [B, d], the context ``items`` [n_items, d] and, optionally, the
    context ``bias`` [n_items]. At test time, a user without training items gets the mean vector of the users with
    training items. A newcomer's vector is fitted to the newcomer's items by ``fold_in``.
    """

    cold_user: ClassVar[ColdUser] = "fold-in"
    warm: Tensor

    def initialise(self, data: TrainData, rng: Rng) -> None:
        """Sets the sizes, builds the model, and records which users have training items."""
        super().initialise(data, rng)
        self.register_buffer("warm", torch.from_numpy(data.train.lengths() > 0), persistent=False)
        self._n_warm = int(self.warm.sum())

    def rows_of(self, table: Tensor | nn.Embedding, users: Tensor) -> Tensor:
        """Returns the users' rows of a table: float [B, d].

        At test time, a user without training items gets the mean row of the users with training items.
        """
        weight = table.weight if isinstance(table, nn.Embedding) else table
        rows = embedding(users, weight)
        if self.training or self._n_warm == len(self.warm):
            return rows
        warm = self.warm[users]
        if bool(warm.all()):
            return rows
        return torch.where(warm[:, None], rows, (self.warm.to(weight) @ weight) / self._n_warm)

    def batch_rows(self, data: TrainData) -> int:
        """Returns the number of triples per batch, which is the setting ``batch_size``."""
        rows: int = self.config.batch_size
        return rows

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Yields batches of shuffled triples of real and fake users."""
        generator = rng.numpy()
        users, items = data.train.users(), data.train.items
        order = generator.permutation(len(items))
        negatives = sample_negatives(users, data.train, generator)
        columns = [torch.from_numpy(np.asarray(part[order])) for part in (users, items, negatives)]
        size = self.batch_rows(data)
        for u, pos, neg in zip(*(torch.split(part, size) for part in columns), strict=True):
            yield Batch(u, u.new_empty(len(u), 0), {"positives": pos, "negatives": neg})

    def queries(self, users: IntArray, history: Interactions) -> Batch:
        """Returns a batch of user ids.

        The history is ignored, because each user has a learned vector.
        """
        ids = torch.from_numpy(np.array(users, dtype=np.int64))
        return Batch(ids, torch.empty(len(ids), 0, dtype=torch.int64))

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns inner products of user and item vectors, plus the biases of items.

        The result is float [B, n_items].
        """
        scores: Tensor = e.inputs["user"] @ e.context["items"].T
        return scores + e.context["bias"] if "bias" in e.context else scores

    def margins_from(self, batch: Batch, e: Embedded) -> Losses:
        """Returns the margin of each triple: the positive's score minus the negative's."""
        pos, neg = batch.targets["positives"], batch.targets["negatives"]
        items = e.context["items"]
        # embedding() returns the same rows as items[pos], and has a backward pass that is several times faster.
        margin = (e.inputs["user"] * (embedding(pos, items) - embedding(neg, items))).sum(-1)
        if "bias" in e.context:
            margin = margin + e.context["bias"][pos] - e.context["bias"][neg]
        return Losses(margin, torch.arange(len(pos), device=margin.device))

    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """Returns the BPR loss of each triple."""
        margin, row = self.margins_from(batch, e)
        return Losses(softplus(-margin), row)

    def terms_from(self, batch: Batch, e: Embedded) -> Terms:
        """Returns the loss of each triple as a positive term, without negatives.

        The positive is preferred to the negative with the probability σ(p − n). Here p and n are the scores of the
        positive and of the negative, and σ is the logistic function.
        """
        return Terms.of_positives(self.loss_from(batch, e).value)

    def logits_from(self, batch: Batch, e: Embedded) -> Logits:
        """Returns one distribution per triple, over its positive and its negative.

        The positive has the probability σ(p − n), and the BPR loss is −ln σ(p − n). Here p and n are the scores of the
        positive and of the negative, and σ is the logistic function.
        """
        return Logits.of_two(self.margins_from(batch, e).value)

    def newcomers(self, history: Interactions) -> NDArray[np.float32]:
        """Returns the scores of newcomers, computed by ``fold_in`` a few rows at a time.

        For an empty row, the scores are the training counts of the items.
        """
        parts = [np.empty((0, self.n_items), dtype=np.float32)]
        step = max(1, min(FOLD_IN_ROWS, FOLD_IN_ENTRIES // self.n_items))
        for start in range(0, history.n_users, step):
            rows = [history.row(user) for user in range(start, min(start + step, history.n_users))]
            parts.append(self.fold_in(Interactions.from_rows(rows, history.n_items)))
        return np.concatenate(parts)

    def fold_in(self, history: Interactions) -> NDArray[np.float32]:
        """Returns the scores of newcomers, based on their most probable vectors.

        The result is float32 [n, n_items] for n newcomers. A newcomer's vector approximately maximises the log
        posterior: the sum of log softmax(scores) over the newcomer's distinct items, plus the log prior. The prior is a
        diagonal normal distribution that is fitted to the vectors of users with training items. The optimiser is Adam,
        which starts at the mean of the prior. A newcomer without items gets the training counts of the items as scores.
        """
        with torch.no_grad():
            known = torch.arange(self.n_users, device=self.device)
            vectors = self.embed(Batch(known[self.warm], known.new_empty(int(self.warm.sum()), 0))).inputs["user"]
            mean, std = vectors.mean(0), vectors.std(0, correction=0)
            ids = torch.zeros(history.n_users, dtype=torch.int64, device=self.device)
            batch = Batch(ids, ids.new_empty(len(ids), 0))
            e = self.embed(batch)
        own = torch.zeros(history.n_users, self.n_items, device=self.device)
        own[torch.from_numpy(history.users()), torch.from_numpy(np.array(history.items))] = 1.0
        place = torch.zeros(len(ids), len(mean), device=self.device, requires_grad=True)
        optimiser = torch.optim.Adam([place], lr=FOLD_IN_RATE)

        def scores() -> Tensor:
            return self.score_from(batch, Embedded({"user": mean + std * place}, e.valid, e.context))

        for _ in range(FOLD_IN_STEPS):
            with torch.enable_grad():
                loss = -(scores().log_softmax(1) * own).sum() + 0.5 * place.square().sum()
            (place.grad,) = torch.autograd.grad(loss, [place])
            optimiser.step()
        with torch.no_grad():
            result: NDArray[np.float32] = scores().float().cpu().numpy()
        result[history.lengths() == 0] = self.item_counts.cpu().numpy()
        return result
