"""A greedy search for attacks on histories, which makes one edit at a time."""

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

# The kind, position and item of one edit per user, int64 [B] each, in the order of the arguments of ``edited``.
Proposal: TypeAlias = "tuple[Tensor, Tensor, Tensor]"


class HistorySearch:
    """The state of a greedy search: the worst history of every user so far.

    No proposal depends on the size of the budget. Therefore the edits under a smaller budget are the first edits under
    a larger budget.

    Args:
        oracle: the oracle of the users whose histories are edited.
        loss: the loss that the search increases.
        finalists: the number of best proposals per edit that the host compares by rank.

    Attributes:
        rows: the worst histories so far, int64 [B, L].
        leader: kind, position and item of the best proposal for the current edit so far, int64 [B] each.
    """

    def __init__(self, oracle: HistoryOracle, loss: LossName, finalists: int) -> None:
        self.oracle, self.loss_name, self.finalists = oracle, loss, finalists
        self.rows = oracle.rows()
        self.loss: Tensor | None = None
        self.leader: list[Tensor] = []

    def step(self, edit: int, proposals: Iterable[Proposal]) -> Iterator[Tensor]:
        """Applies the best proposed edit to each history, if this edit raises the loss.

        Users whose budget does not exceed ``edit`` edits keep their history.

        Args:
            edit: the number of edits before this one.
            proposals: the proposed edits. They are evaluated one by one, so later ones may depend on ``leader``.

        Yields:
            The histories after each of the ``finalists`` best proposals, int64 [B, L + 1], the best first.
        """
        if self.loss is None:
            self.loss = self.oracle.evaluate(self.rows, self.loss_name).loss
        affordable = edit < self.oracle.budget()
        evaluated, losses = [], []
        highest = torch.full_like(self.loss, -torch.inf)
        for kind, position, item in proposals:
            evaluated.append((torch.where(affordable, kind, -1), position, item))
            losses.append(self.oracle.evaluate(edited(self.rows, *evaluated[-1]), self.loss_name).loss)
            higher = losses[-1] > highest
            highest = torch.where(higher, losses[-1], highest)
            self.leader = [
                torch.where(higher, *pair) for pair in zip(evaluated[-1], self.leader or evaluated[-1], strict=True)
            ]
        self.leader = []
        if not evaluated:
            return
        best = torch.stack(losses).topk(min(self.finalists, len(evaluated)), dim=0)
        kinds, positions, items = (torch.stack(parts) for parts in zip(*evaluated, strict=True))
        previous, better = self.rows, best.values[0] > self.loss
        for rank, (loss, index) in enumerate(zip(best.values, best.indices.unsqueeze(1), strict=True)):
            rows = edited(previous, *(part.gather(0, index)[0] for part in (kinds, positions, items)))
            if rank == 0:
                self.loss = torch.where(better, loss, self.loss)
                self.rows = torch.where(better.unsqueeze(1), rows, pad(previous, (0, 1), value=-1))
                self.rows = self.rows[:, : max(1, int((self.rows >= 0).sum(1).max()))]
            yield rows


def every_edit(oracle: HistoryOracle, rows: Tensor, edits: tuple[Edit, ...], *, at_end: bool) -> Iterator[Proposal]:
    """Yields every allowed edit of the histories, for all users at once.

    Args:
        oracle: the oracle, which knows the items that may be inserted.
        rows: the current histories, int64 [B, L].
        edits: the kinds of edits to propose.
        at_end: whether items are inserted only after the last item.
    """
    allowed, lengths = oracle.insertable(rows), (rows >= 0).sum(1)
    for kind in (KINDS[name] for name in edits):
        for position in range(rows.shape[1] + (kind == INSERT)):
            last = lengths + (kind == INSERT) - 1
            exists = last == position if at_end and kind == INSERT else last >= position
            for item in range(1 if kind == DELETE else oracle.n_items):
                valid = exists if kind == DELETE else exists & allowed[:, item]
                if bool(valid.any()):
                    yield (
                        torch.where(valid, kind, -1),
                        torch.full_like(lengths, position),
                        torch.full_like(lengths, item),
                    )
