"""Torch models that were trained elsewhere, with inputs to perturb."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from robench.api.data import IntArray, Interactions, TrainData
from robench.api.models.torch import Batch, Embedded, Losses, TorchModel
from robench.api.models.trained import Trained, TrainedConfig
from robench.api.rng import Rng
from robench.api.surfaces import Surface


class TrainedTorchModel(Trained, TorchModel):
    """A model trained elsewhere that computes scores from embedded items.

    A subclass has ``load``, ``vectors`` and ``scores_from_vectors``. ``load`` creates the modules with their weights,
    and sets ``ids``. A subclass that declares ``tables`` adds ``"parameters"`` to ``surfaces``.
    """

    Config: ClassVar[type[TrainedConfig]] = TrainedConfig  # type: ignore[assignment]  # nothing is trained here
    config: Any
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"embedding", "history"})
    own: Tensor

    @abstractmethod
    def vectors(self, items: Tensor) -> Tensor:
        """Returns the vectors of items, directly after the lookup: float [B, L, d].

        Args:
            items: items by the model's own numbers, int64 [B, L].
        """

    @abstractmethod
    def scores_from_vectors(self, vectors: Tensor, valid: Tensor) -> Tensor:
        """Returns the scores of the model's N items: float [B, N].

        Args:
            vectors: the vectors of each user's items, oldest first, which may be perturbed, float [B, L, d].
            valid: the places that hold an item, bool [B, L]. The other places follow at the end of a row.
        """

    def build(self, data: TrainData, rng: Rng) -> None:
        """Loads the model and registers the numbers of its items."""
        self.prepare(data)
        self.register_buffer("own", torch.from_numpy(np.append(self.items.own, -1)))

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Yields nothing, because the model is not trained."""
        return iter(())

    def queries(self, users: IntArray, history: Interactions) -> Batch:
        """Returns a batch with the known items of each user, right-padded."""
        rows = [history.row(user) for user in users.tolist()]
        rows = [row[self.items.own[row] >= 0] for row in rows]
        width = max(1, int(history.lengths().max(initial=1)))
        table = np.full((len(rows), width), self.n_items, dtype=np.int64)
        for place, row in enumerate(rows):
            table[place, : len(row)] = row
        return Batch(torch.from_numpy(np.array(users, dtype=np.int64)), torch.from_numpy(table))

    def embed(self, batch: Batch) -> Embedded:
        """Returns the vectors of the items in the batch, under the name ``items``."""
        valid = batch.histories < self.n_items
        return Embedded({"items": self.vectors(self.own[batch.histories].clamp_min(0))}, {"items": valid})

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the scores of the catalogue: float [B, n_items].

        An item that the model does not know ranks below all others. A user without a known item gets the training
        counts.
        """
        valid = e.valid["items"]
        given = self.scores_from_vectors(e.inputs["items"], valid)
        own = self.own[:-1]
        least = given.amin(1, keepdim=True)
        last = least - 1 - least.abs()  # in float32, the difference of 1 alone could be lost
        scores = torch.where(own >= 0, given[:, own.clamp_min(0)], last)
        return torch.where(valid.any(1, keepdim=True), scores, self.item_counts)

    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """Always raises a ``TypeError``, because the model is not trained."""
        raise TypeError("a model that was trained elsewhere has no training loss")
