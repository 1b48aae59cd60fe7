"""How the loss of a neural model changes, to first order, when an item of a history becomes another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robench.api.attacks.slopes import Slopes
from robench.api.data import IntArray, Interactions
from robench.api.models.torch import Batch, Embedded, TorchModel

LINEAR = 1e-3  # a bag counts as a weighted sum of item vectors if it is one within this share of its length


@dataclass(frozen=True, eq=False)
class Reading:
    """What a model reads of some histories.

    Args:
        batch: the queries.
        e: their embedded inputs.
        place: int64 [B, W] places of the history that stand in ``batch.histories``, −1 elsewhere.
        present: int64 [B, W] the items there.
    """

    batch: Batch
    e: Embedded
    place: Tensor
    present: Tensor


class ItemInputs:
    """The items of a history as embedded inputs of a model, found by embedding histories of one item.

    Two shapes of input are understood: one vector per place of ``batch.histories`` (sequence models), and one vector
    per user that is a sum of item vectors which weighs all items of a user alike (bags). A model with any other input,
    or one that does not read the last items of a history in their order, has no slopes.

    Args:
        model: the victim, in eval mode.
        n_users: rows that the model expects of a history.
    """

    def __init__(self, model: TorchModel, n_users: int) -> None:
        self.model, self.n_users = model, n_users
        self._vectors: dict[str, Tensor] | None = None

    def vectors(self) -> Mapping[str, Tensor]:
        """float [n_items, d] per input; made once."""
        if self._vectors is None:
            parts: dict[str, list[Tensor]] = {}
            for start in range(0, self.model.n_items, self.n_users):
                items = np.arange(start, min(start + self.n_users, self.model.n_items))
                rows = [[item] for item in items.tolist()] + [[]] * (self.n_users - len(items))
                history = Interactions.from_rows(rows, self.model.n_items)
                for name, part in self._embedded(np.arange(len(items)), history)[1].inputs.items():
                    parts.setdefault(name, []).append(part[:, 0] if part.dim() == 3 else part)
            self._vectors = {name: torch.cat(found) for name, found in parts.items()}
        return self._vectors

    def _embedded(self, users: IntArray, history: Interactions) -> tuple[Batch, Embedded]:
        with torch.no_grad():
            batch = self.model.queries(users, history).to(self.model.device)
            return batch, self.model.embed(batch)

    def read(self, users: IntArray, history: Interactions, rows: Tensor) -> Reading | None:
        """What the model reads of ``rows`` (int64 [B, L], the rows of ``users`` in ``history``), or None."""
        batch, e = self._embedded(users, history)
        ids = batch.histories.cpu()
        real = ids < history.n_items
        # Right-padded: the items that are read are the last ones of the row.
        skipped = (rows >= 0).sum(1, keepdim=True) - real.sum(1, keepdim=True)
        place = torch.where(real, torch.arange(ids.shape[1]) + skipped, -1)
        present = torch.where(real, ids, -1)
        wide = torch.nn.functional.pad(rows, (0, 1), value=-1)
        if bool((skipped < 0).any()) or not torch.equal(
            wide.gather(1, torch.where(real, place, rows.shape[1])), present
        ):
            return None
        reading = Reading(batch, e, place, present)
        understood = all(self._weights(name, reading) is not None for name in e.inputs)
        return reading if understood and e.inputs else None

    def _weights(self, name: str, reading: Reading) -> Tensor | None:
        """By how much an item's vector counts in the input: float [B, 1, 1], or None where this is not known."""
        part, valid, ids = reading.e.inputs[name], reading.e.valid[name].cpu(), reading.batch.histories
        if part.dim() == 3 and part.shape[:2] == ids.shape and torch.equal(valid, reading.place >= 0):
            return part.new_ones(len(part), 1, 1)
        if part.dim() != 2:
            return None
        vectors = self.vectors()[name]
        present = reading.present.to(part.device)
        total = torch.stack(
            [vectors[own[own >= 0]].sum(0) for own in present]  # a row at a time: [B, W, d] would be large
        )
        weight = (part * total).sum(1, keepdim=True) / total.square().sum(1, keepdim=True).clamp_min(1e-30)
        off = (part - weight * total).norm(dim=1)
        return weight.unsqueeze(2) if bool((off <= LINEAR * part.norm(dim=1).clamp_min(1e-30)).all()) else None

    def slopes(self, reading: Reading, gradient: Mapping[str, Tensor]) -> Slopes:
        """Out of the gradient by every input (shapes as in ``reading.e.inputs``); on the CPU."""
        parts = []
        for name, part in gradient.items():
            weight = self._weights(name, reading)
            assert weight is not None  # read() has looked
            parts.append(part * weight if part.dim() == 3 else part.unsqueeze(1) * weight)
        width = max(part.shape[1] for part in parts)
        joined = torch.cat([part.expand(-1, width, -1) for part in parts], 2)
        vectors = torch.cat([self.vectors()[name] for name in gradient], 1)
        return Slopes(joined.float().cpu(), reading.place, reading.present, vectors.float().cpu())
