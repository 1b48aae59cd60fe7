"""What the greedy attacks on histories share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch.nn.functional import pad

from robench.api import HistoryOracle, LossName
from robench.api.attacks.edits import edited
from robench.api.attacks.history import DELETE, INSERT, KINDS, Edit

if TYPE_CHECKING:
    from torch import Tensor


Proposal: TypeAlias = "tuple[Tensor, Tensor, Tensor]"  # kind, place and item, int64 [B] each, as ``edited`` takes them


class Climb:
    """The worst histories found so far, edit by edit.

    A smaller budget's path is the beginning of a larger one's: what an edit tries depends on the edits before it only.

    Args:
        oracle: of the users.
        loss: that is climbed.
        finalists: the best proposals of each edit, which the host is given to compare by rank.

    ``leading`` is the best proposal of the present edit so far (kind, place and item), for who proposes the next one.
    """

    def __init__(self, oracle: HistoryOracle, loss: LossName, finalists: int) -> None:
        self.oracle, self.loss_name, self.finalists = oracle, loss, finalists
        self.rows = oracle.rows()
        self.loss: Tensor | None = None
        self.leading: list[Tensor] = []

    def step(self, edit: int, proposals: Iterable[Proposal]) -> Iterator[Tensor]:
        """Move every user whose budget exceeds ``edit`` edits to the proposal of the highest loss, if it is an advance.

        Returns:
            The finalists, int64 [B, L + 1] each, the best first.
        """
        if self.loss is None:
            self.loss = self.oracle.evaluate(self.rows, self.loss_name).loss
        spendable = edit < self.oracle.budget()
        tried, losses = [], []
        highest = torch.full_like(self.loss, -torch.inf)
        for kind, place, item in proposals:
            tried.append((torch.where(spendable, kind, -1), place, item))
            losses.append(self.oracle.evaluate(edited(self.rows, *tried[-1]), self.loss_name).loss)
            ahead = losses[-1] > highest
            highest = torch.where(ahead, losses[-1], highest)
            self.leading = [
                torch.where(ahead, *pair) for pair in zip(tried[-1], self.leading or tried[-1], strict=True)
            ]
        self.leading = []
        if not tried:
            return
        best = torch.stack(losses).topk(min(self.finalists, len(tried)), dim=0)
        kinds, places, items = (torch.stack(parts) for parts in zip(*tried, strict=True))
        before, better = self.rows, best.values[0] > self.loss
        for rank, (loss, index) in enumerate(zip(best.values, best.indices.unsqueeze(1), strict=True)):
            rows = edited(before, *(part.gather(0, index)[0] for part in (kinds, places, items)))
            if rank == 0:
                self.loss = torch.where(better, loss, self.loss)
                self.rows = torch.where(better.unsqueeze(1), rows, pad(before, (0, 1), value=-1))
                self.rows = self.rows[:, : max(1, int((self.rows >= 0).sum(1).max()))]
            yield rows


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
