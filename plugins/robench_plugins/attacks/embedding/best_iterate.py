"""Keeps the iterate with the highest loss, for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from robench.api import Delta
from robench.api.attacks.ball import wide

if TYPE_CHECKING:
    from torch import Tensor

BUFFER = 64 << 20  # the most bytes of iterates that wait before their rows are copied


def select_rows(mask: Tensor, new: Delta, old: Delta) -> dict[str, Tensor]:
    """Returns ``new`` in the rows of the mask, and ``old`` in the other rows.

    Args:
        mask: the rows to replace, bool [B].
        new: the new tensor of each input, [B, ...].
        old: the old tensor of each input, [B, ...].
    """
    return {name: torch.where(wide(mask, part), new[name], part) for name, part in old.items()}


class BestIterate:
    """The iterate with the highest loss so far, for each row.

    If several iterates have the same loss, the first of them is kept. Iterates are collected in a buffer. They are
    compared only if the buffer is full or if ``best`` is called. With a small model, a comparison at every step would
    cost noticeable time.

    Args:
        start: the first iterate, [B, ...] per input. An iterate must not be changed after it is added.
        loss: the loss at the first iterate, float [B].
    """

    def __init__(self, start: Delta, loss: Tensor) -> None:
        self._best = {name: part.clone() for name, part in start.items()}
        self._best_loss = torch.full_like(loss, -torch.inf)
        self._iterates, self._losses = [start], [loss]
        self._capacity = max(1, BUFFER // max(1, sum(part.nbytes for part in start.values())))

    def add(self, delta: Delta, loss: Tensor) -> None:
        """Adds the next iterate, [B, ...] per input, and its loss, float [B]."""
        if len(self._iterates) >= self._capacity:
            self._flush()
        self._iterates.append(delta)
        self._losses.append(loss)

    def best(self) -> dict[str, Tensor]:
        """Returns the best iterate of every row.

        If the loss of a row was never a number, the row of the start is returned.
        """
        self._flush()
        return self._best

    def _flush(self) -> None:
        """Copies the rows that improve on the best so far and empties the buffer."""
        losses = torch.stack([self._best_loss, *self._losses]).nan_to_num(-torch.inf, torch.inf, -torch.inf)
        # numpy's argmax returns the first of equal values, but torch's may return any. Index 0 is the best so far.
        index = torch.from_numpy(losses.cpu().numpy().argmax(0)).to(losses.device)
        for number, delta in enumerate(self._iterates, start=1):
            rows = (index == number).nonzero(as_tuple=True)[0]
            for name, part in self._best.items() if len(rows) else ():
                part.index_copy_(0, rows, delta[name].index_select(0, rows))
        self._best_loss = losses.amax(0)
        self._iterates, self._losses = [], []
