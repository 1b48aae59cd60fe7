"""What the greedy attacks on histories share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import pad

from robench.api import DELETE, INSERT, KINDS, Edit, HistoryOracle, LossName

if TYPE_CHECKING:
    from torch import Tensor


class Climb:
    """The worst histories found so far, edit by edit.

    A smaller budget's path is the beginning of a larger one's: what an edit tries depends on the edits before it only.
    """

    def __init__(self, oracle: HistoryOracle, loss: LossName) -> None:
        self.oracle, self.loss_name = oracle, loss
        self.budget = oracle.budget()
        self.rows = oracle.rows()
        self.loss: Tensor | None = None

    def spendable(self, edit: int, kind: Tensor, place: Tensor, item: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The proposal [B], with nothing for users whose budget is ``edit`` edits or fewer."""
        return torch.where(edit < self.budget, kind, -1), place, item

    def step(self, proposals: Iterable[Tensor]) -> None:
        """Move every user to the proposal (int64 [B, L]) of the highest loss, where it is above the present one."""
        if self.loss is None:
            self.loss = self.oracle.evaluate(self.rows, self.loss_name).loss
        best = self.rows
        for rows in proposals:
            loss = self.oracle.evaluate(rows, self.loss_name).loss
            better = loss > self.loss
            self.loss = torch.where(better, loss, self.loss)
            best = torch.where(better.unsqueeze(1), rows, pad(best, (0, rows.shape[1] - best.shape[1]), value=-1))
        self.rows = best[:, : max(1, int((best >= 0).sum(1).max()))]


def every_edit(oracle: HistoryOracle, rows: Tensor, edits: tuple[Edit, ...]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Every edit of ``rows`` (int64 [B, L]) that is allowed, as arguments for ``edited``."""
    allowed, lengths = oracle.insertable(rows), (rows >= 0).sum(1)
    for kind in (KINDS[name] for name in edits):
        for place in range(rows.shape[1] + (kind == INSERT)):
            fits = place < lengths + (kind == INSERT)
            for item in range(1 if kind == DELETE else oracle.n_items):
                valid = fits if kind == DELETE else fits & allowed[:, item]
                if bool(valid.any()):
                    yield torch.where(valid, kind, -1), torch.full_like(lengths, place), torch.full_like(lengths, item)
