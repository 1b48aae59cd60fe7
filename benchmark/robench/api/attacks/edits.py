"""Applies edits to histories and draws random edits.

A batch of histories is int64 [B, L]. The oldest item comes first, and rows are right-padded with −1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robench.api.attacks.history import DELETE, INSERT, KINDS, SUBSTITUTE, Edit, HistoryOracle


def edited(rows: Tensor, kind: Tensor, place: Tensor, item: Tensor) -> Tensor:
    """Applies one edit to each history.

    Args:
        rows: the histories, int64 [B, L].
        kind: the kind of each row's edit, as a code from ``KINDS``, int64 [B]. −1 leaves the row unchanged.
        place: the position at which an item is substituted, deleted or inserted, int64 [B].
        item: the item to substitute or insert in each row, int64 [B].

    Returns:
        The edited histories, int64 [B, L + 1].
    """
    kind, place, item = (part.unsqueeze(1) for part in (kind, place, item))
    at = torch.arange(rows.shape[1] + 1).expand(len(rows), -1)
    after = at > place
    source = at - (after & (kind == INSERT)).long() + ((after | (at == place)) & (kind == DELETE)).long()
    wide = torch.nn.functional.pad(rows, (0, 2), value=-1)
    new = (at == place) & ((kind == SUBSTITUTE) | (kind == INSERT))
    return torch.where(new, item, wide.gather(1, source))


def random_edits(
    oracle: HistoryOracle, rows: Tensor, uniform: Tensor, edits: tuple[Edit, ...], *, at_end: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Draws random edits: first the kind, then the position, then the item.

    Each draw is uniform over the allowed values. An empty row allows only insertions. If no item may be added to a row,
    only deletions are allowed. If no edit is possible for a row, the kind is −1.

    Args:
        oracle: the oracle of these users.
        rows: the current histories, int64 [B, L].
        uniform: uniform numbers in [0, 1) for Q edits per row, float64 [B, Q, 3].
        edits: the kinds to draw from.
        at_end: whether items are inserted only after the last item.

    Returns:
        The kind, the position and the item of every edit, int64 [B, Q] each. The function ``edited`` takes one column
        of each tensor.
    """
    allowed = oracle.insertable(rows).cumsum(1)
    lengths, left = (rows >= 0).sum(1, keepdim=True), allowed[:, -1:]
    kinds = torch.tensor([KINDS[name] for name in edits])
    possible = ((kinds == INSERT) | (lengths > 0)) & ((kinds == DELETE) | (left > 0))
    ways = possible.cumsum(1)
    drawn, spots, picks = uniform.unbind(2)
    # The first cumulative count that exceeds the draw belongs to the (draw + 1)-th possible entry.
    chosen = torch.searchsorted(ways, (drawn * ways[:, -1:]).long(), right=True)
    kind = torch.where(ways[:, -1:] > 0, kinds[chosen.clamp_max(len(kinds) - 1)], -1)
    place = (spots * (lengths + (kind == INSERT))).long()
    if at_end:
        place = torch.where(kind == INSERT, lengths, place)
    item = torch.searchsorted(allowed, (picks * left).long(), right=True)
    return kind, place, item.clamp_max(oracle.n_items - 1)
