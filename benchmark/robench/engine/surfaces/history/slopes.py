"""Computes slopes of a neural model's loss with respect to items in histories.

A slope is the first-order change of the loss if one item is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from robench.api.attacks.slopes import Slopes
from robench.api.data import IntArray, Interactions
from robench.api.models.torch import Batch, Embedded, TorchModel

LINEAR = 1e-3  # the largest difference between a bag and a weighted sum of item vectors, as a share of the bag's norm


@dataclass(frozen=True, eq=False)
class EmbeddedHistories:
    """Some users' histories in the form in which a model reads them.

    Args:
        batch: the batch of queries about these users.
        e: the embedded inputs of the batch.
        place: for each entry in ``batch.histories``, the position in the full history, with −1 at padding. The shape is
            that of ``batch.histories``, int64 [B, W].
        present: the items at these positions, int64 [B, W], with −1 at padding.
    """

    batch: Batch
    e: Embedded
    place: Tensor
    present: Tensor


class ItemInputs:
    """An object that computes slopes from the item vectors in a model's inputs.

    The vector of an item is found by embedding a history with only this item.

    Two kinds of inputs are supported. In a sequence model, an input has one vector per entry of ``batch.histories``. In
    a bag model, an input has one vector per user: the sum of the user's item vectors, times one weight per user. A
    model with any other input has no slopes. A model that does not read the last items of a history in order has no
    slopes either.

    Args:
        model: the victim, in evaluation mode.
        n_users: the number of rows that the model expects in ``Interactions``.
    """

    def __init__(self, model: TorchModel, n_users: int) -> None:
        self.model, self.n_users = model, n_users
        self._vectors: dict[str, Tensor] | None = None

    def vectors(self) -> Mapping[str, Tensor]:
        """Returns the vectors of all items, float [n_items, d], by input.

        The vectors are computed only once.
        """
        if self._vectors is None:
            parts: dict[str, list[Tensor]] = {}
            for start in range(0, self.model.n_items, self.n_users):
                items = np.arange(start, min(start + self.n_users, self.model.n_items))
                rows = [[item] for item in items.tolist()] + [[]] * (self.n_users - len(items))
                history = Interactions.from_rows(rows, self.model.n_items)
                for name, part in self._embed(np.arange(len(items)), history)[1].inputs.items():
                    parts.setdefault(name, []).append(part[:, 0] if part.dim() == 3 else part)
            self._vectors = {name: torch.cat(part) for name, part in parts.items()}
        return self._vectors

    @cached_property
    def _host_vectors(self) -> Mapping[str, Tensor]:
        """The item vectors on the CPU, where single rows can be read quickly."""
        return {name: part.cpu() for name, part in self.vectors().items()}

    def embed(self, users: IntArray, history: Interactions, rows: Tensor) -> EmbeddedHistories | None:
        """Returns some users' histories in the form in which the model reads them.

        The result is None if the model's inputs are of an unsupported kind. The result is also None if the model does
        not read the last items of each history in order.

        Args:
            users: the users, int64 [B].
            history: the histories of all real users. Only the rows of ``users`` matter.
            rows: the histories of ``users`` as a matrix, int64 [B, L], right-padded with −1.
        """
        batch, e = self._embed(users, history)
        ids = batch.histories.cpu()
        real = ids < history.n_items
        # Rows are right-padded, and the model reads their last items.
        skipped = (rows >= 0).sum(1, keepdim=True) - real.sum(1, keepdim=True)
        place = torch.where(real, torch.arange(ids.shape[1]) + skipped, -1)
        present = torch.where(real, ids, -1)
        longer = torch.nn.functional.pad(rows, (0, 1), value=-1)
        if bool((skipped < 0).any()):
            return None
        if not torch.equal(longer.gather(1, torch.where(real, place, rows.shape[1])), present):
            return None
        embedded = EmbeddedHistories(batch, e, place, present)
        understood = all(self._weights(name, embedded) is not None for name in e.inputs)
        return embedded if understood and e.inputs else None

    def slopes(self, embedded: EmbeddedHistories, gradient: Mapping[str, Tensor]) -> Slopes:
        """Returns the slopes at some histories, with tensors on the CPU.

        Args:
            embedded: the histories in the form in which the model reads them.
            gradient: the gradient of the loss with respect to ``embedded.e.inputs``, by input.
        """
        parts = []
        for name, part in gradient.items():
            weight = self._weights(name, embedded)
            assert weight is not None  # embed() has checked the weight
            parts.append(part * weight if part.dim() == 3 else part.unsqueeze(1) * weight)
        width = max(part.shape[1] for part in parts)
        joined = torch.cat([part.expand(-1, width, -1) for part in parts], 2)
        vectors = torch.cat([self.vectors()[name] for name in gradient], 1)
        return Slopes(joined.float().cpu(), embedded.place, embedded.present, vectors.float().cpu())

    def _embed(self, users: IntArray, history: Interactions) -> tuple[Batch, Embedded]:
        with torch.no_grad():
            batch = self.model.queries(users, history).to(self.model.device)
            return batch, self.model.embed(batch)

    def _weights(self, name: str, embedded: EmbeddedHistories) -> Tensor | None:
        """Returns the weight of item vectors in each user's input, float [B, 1, 1].

        The result is None if the input is of an unsupported kind.
        """
        part, valid, ids = embedded.e.inputs[name], embedded.e.valid[name].cpu(), embedded.batch.histories
        if part.dim() == 3 and part.shape[:2] == ids.shape and torch.equal(valid, embedded.place >= 0):
            return part.new_ones(len(part), 1, 1)
        if part.dim() != 2:
            return None
        vectors = self._host_vectors[name]
        total = torch.stack(
            [vectors[own[own >= 0]].sum(0) for own in embedded.present]  # row by row, because [B, W, d] would be large
        ).to(part.device)
        weight = (part * total).sum(1, keepdim=True) / total.square().sum(1, keepdim=True).clamp_min(1e-30)
        off = (part - weight * total).norm(dim=1)
        return weight.unsqueeze(2) if bool((off <= LINEAR * part.norm(dim=1).clamp_min(1e-30)).all()) else None
