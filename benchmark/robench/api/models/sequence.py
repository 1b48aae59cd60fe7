"""The base classes of models that predict the next item of a sequence."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from robench.api.data import IntArray, Interactions, TrainData
from robench.api.models.divergence import Logits
from robench.api.models.softmax import cross_entropy
from robench.api.models.terms import Terms
from robench.api.models.torch import Batch, Embedded, Losses, TorchConfig, TorchModel
from robench.api.rng import Rng
from robench.api.surfaces import Surface


class SequenceConfig(TorchConfig):
    """The settings that all sequence models share."""

    dim: int = Field(default=64, ge=1, description="Dimensions of an item vector")
    max_length: int = Field(default=50, ge=2, description="Number of most recent items that the model reads")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Share of activations that dropout zeroes")


def windows(rows: Interactions, length: int) -> IntArray:
    """Cuts every row into windows of at most ``length`` items, starting at the end.

    Neighbouring windows share one item, so no transition is lost. A row of one item has no window.

    Returns:
        The windows, int64 [windows, length], right-padded with ``n_items``.
    """
    counts = -(-np.maximum(rows.lengths() - 1, 0) // (length - 1))
    number = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    end = np.repeat(rows.indptr[1:], counts) - number * (length - 1)
    start = np.maximum(end - length, np.repeat(rows.indptr[:-1], counts))
    place = start[:, None] + np.arange(length)
    padded = np.append(rows.items, rows.n_items)
    return padded[np.where(place < end[:, None], place, len(rows.items))]


class WindowModel(TorchModel):
    """A model that reads the last items of a history and learns from windows.

    The batches of training are windows of histories. The queries are the last items of each user.
    """

    Config: ClassVar[type[TorchConfig]] = SequenceConfig
    config: Any

    def initialise(self, data: TrainData, rng: Rng) -> None:
        """Builds the model and records the length of the longest history.

        If the histories are hidden, ``max_length`` takes its place.
        """
        super().initialise(data, rng)
        known = data.train.lengths()[: data.n_real_users] + data.validation.lengths()
        self._longest = int(known.max(initial=1)) if len(data.train) else int(self.config.max_length)

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Yields batches of shuffled windows.

        The inputs are the windows without their last items. The targets are the windows without their first items.
        """
        rows = torch.from_numpy(windows(data.train, self.config.max_length + 1))
        order = torch.from_numpy(rng.numpy().permutation(len(rows)))
        for part in torch.split(rows[order], self.config.batch_size) if len(rows) else ():
            used = int((part != self.n_items).sum(1).max())
            inputs = part[:, : used - 1].clone()
            inputs[part[:, 1:used] == self.n_items] = self.n_items
            yield Batch(torch.full((len(part),), -1), inputs, {"items": part[:, 1:used]})

    def queries(self, users: IntArray, history: Interactions) -> Batch:
        """Returns a batch with the last ``max_length`` items of each user, right-padded."""
        return Batch(
            torch.from_numpy(np.array(users, dtype=np.int64)), self.last_items(users, history, self.config.max_length)
        )

    def last_items(self, users: IntArray, history: Interactions, length: int) -> Tensor:
        """Returns the last ``length`` items of each user, right-padded with ``n_items``.

        The padding does not depend on the other users, because sums over more positions may round differently. Only
        rows that are longer than all histories of the fit add padding to the rows of other users.

        Returns:
            The items, int64 [B, L]. L is ``length``, or the length of the longest history of the fit if this is
            smaller. If a returned row is longer, L is its length.
        """
        end = history.indptr[users + 1]
        start = np.maximum(end - length, history.indptr[users])
        longest = max(min(length, self._longest), int((end - start).max(initial=0)))
        place = start[:, None] + np.arange(longest)
        padded = np.append(history.items, self.n_items)
        return torch.from_numpy(padded[np.where(place < end[:, None], place, len(history.items))])

    def last_position(self, batch: Batch) -> Tensor:
        """Returns the position of each row's last item: int64 [B].

        The position is 0 for an empty row.
        """
        return ((batch.histories != self.n_items).sum(1) - 1).clamp_min(0)


class SequenceModel(WindowModel):
    """A model that scores items by comparing a state with the item table.

    The model computes a state at every position of a history. A subclass adds its layers in ``build_layers`` and
    computes ``states``. After the rows of the items, the table has two rows: padding (``n_items``) and [MASK]
    (``n_items + 1``).
    """

    tables: ClassVar[tuple[str, ...]] = ("item_table.weight",)
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"embedding", "parameters", "history"})

    @abstractmethod
    def build_layers(self) -> None:
        """Creates the layers that compute states from item vectors."""

    @abstractmethod
    def states(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the states to compare with item vectors: float [B, L, dim].

        The state at a position must not depend on the target of this position.
        """

    def states_at(self, batch: Batch, e: Embedded, row: Tensor, position: Tensor) -> Tensor:
        """Returns the states at some positions: float [N, dim].

        A subclass may override this method to save work.

        Args:
            batch: the batch.
            e: the embedded inputs of the batch.
            row: the row of the batch for each state, int64 [N].
            position: the position in that row, int64 [N].
        """
        return self.states(batch, e)[row, position]

    def last_states(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the state at each row's last item, float [B, dim].

        ``score_from`` compares these states with the item vectors. A subclass may override this method to save work.
        """
        row = torch.arange(len(batch.histories), device=batch.histories.device)
        return self.states_at(batch, e, row, self.last_position(batch))

    def build(self, data: TrainData, rng: Rng) -> None:
        """Creates the item table, the output bias and the layers.

        The entries of the table are drawn from a normal distribution with mean 0 and standard deviation dim^-½.
        """
        dim = self.config.dim
        self.item_table = nn.Embedding(self.n_items + 2, dim)
        nn.init.normal_(self.item_table.weight, std=dim**-0.5)
        self.item_bias = nn.Parameter(torch.zeros(self.n_items))
        self.build_layers()

    def embed(self, batch: Batch) -> Embedded:
        """Returns the embedded input ``items``: float [B, L, dim].

        The input is zero at padding. Neither padding nor [MASK] may be perturbed.
        """
        ids = batch.histories
        vectors = self.item_table(ids) * (ids != self.n_items).unsqueeze(-1)
        return Embedded(
            {"items": vectors},
            {"items": ids < self.n_items},
            {"table": self.item_table.weight[: self.n_items], "bias": self.item_bias},
        )

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the inner products of each row's last state and the item vectors.

        The bias of each item is added. The result is float [B, n_items].
        """
        return torch.addmm(e.context["bias"], self.last_states(batch, e), e.context["table"].T)

    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """Returns the softmax cross-entropy over the catalogue, one value per target."""
        targets = batch.targets["items"]
        row, position = (targets != self.n_items).nonzero(as_tuple=True)
        states = self.states_at(batch, e, row, position)
        return Losses(cross_entropy(states, e.context["table"], e.context["bias"], targets[row, position]), row)

    def terms_from(self, batch: Batch, e: Embedded) -> Terms:
        """Returns the loss of each target as a positive term, without negatives."""
        return Terms.of_positives(self.loss_from(batch, e).value)

    def logits_from(self, batch: Batch, e: Embedded) -> Logits:
        """Returns one distribution over the catalogue per target."""
        row, position = (batch.targets["items"] != self.n_items).nonzero(as_tuple=True)
        return Logits(self.states_at(batch, e, row, position), e.context["table"], e.context["bias"])

    def margins_from(self, batch: Batch, e: Embedded) -> Losses:
        """Returns the margin of each target.

        The margin is the score of the target minus the highest score of the negatives. A negative is an item that is
        neither in the row nor among the targets of the row. If there is no negative, the margin is 0.
        """
        targets = batch.targets["items"]
        row, position = (targets != self.n_items).nonzero(as_tuple=True)
        scores = torch.addmm(e.context["bias"], self.states_at(batch, e, row, position), e.context["table"].T)
        known = torch.zeros(len(targets), self.n_items + 2, dtype=torch.bool, device=scores.device)
        known.scatter_(1, batch.histories, True).scatter_(1, targets, True)
        hardest = scores.masked_fill(known[row, : self.n_items], -torch.inf).amax(1)
        own = scores.gather(1, targets[row, position].unsqueeze(1)).squeeze(1)
        # A window that holds the whole catalogue has no negative. The margin is then 0, without a gradient.
        return Losses(torch.where(hardest > -torch.inf, own - hardest, torch.zeros_like(own)), row)
