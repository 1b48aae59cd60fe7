"""Edits of histories: applied, drawn at random, and their first-order effect.

Rows of histories are int64 [B, L], oldest item first, right-padded with −1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robench.api.attacks.history import DELETE, INSERT, KINDS, SUBSTITUTE, Edit, HistoryOracle


def edited(rows: Tensor, kind: Tensor, place: Tensor, item: Tensor) -> Tensor:
    """One edit per row.

    Args:
        rows: int64 [B, L].
        kind: int64 [B], one of ``KINDS``, or −1 for a row that stays.
        place: int64 [B]: the place that is substituted or deleted, or that the inserted item will have.
        item: int64 [B], what comes in.

    Returns:
        int64 [B, L + 1].
    """
    kind, place, item = (part.unsqueeze(1) for part in (kind, place, item))
    at = torch.arange(rows.shape[1] + 1).expand(len(rows), -1)
    behind = at > place
    source = at - (behind & (kind == INSERT)).long() + ((behind | (at == place)) & (kind == DELETE)).long()
    wide = torch.nn.functional.pad(rows, (0, 2), value=-1)
    comes = (at == place) & ((kind == SUBSTITUTE) | (kind == INSERT))
    return torch.where(comes, item, wide.gather(1, source))


def random_edits(
    oracle: HistoryOracle, rows: Tensor, uniform: Tensor, edits: tuple[Edit, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Uniform edits that are allowed: the kind among ``edits``, then the place, then the item.

    A row without items can only be inserted into, and nothing can be inserted where no item is left; a row for which
    no kind of edit remains stays.

    Args:
        oracle: of these users.
        rows: int64 [B, L] the present histories.
        uniform: float64 [B, Q, 3] in [0, 1).
        edits: kinds to draw from.

    Returns:
        kind, place and item, int64 [B, Q] each, for ``edited``.
    """
    allowed = oracle.insertable(rows).cumsum(1)
    lengths, left = (rows >= 0).sum(1, keepdim=True), allowed[:, -1:]
    kinds = torch.tensor([KINDS[name] for name in edits])
    possible = ((kinds == INSERT) | (lengths > 0)) & ((kinds == DELETE) | (left > 0))
    ways = possible.cumsum(1)
    drawn, spots, picks = uniform.unbind(2)
    # Right of a cumulative count stands the first entry that exceeds the draw: the (draw + 1)-th of the possible ones.
    chosen = torch.searchsorted(ways, (drawn * ways[:, -1:]).long(), right=True)
    kind = torch.where(ways[:, -1:] > 0, kinds[chosen.clamp_max(len(kinds) - 1)], -1)
    place = (spots * (lengths + (kind == INSERT))).long()
    item = torch.searchsorted(allowed, (picks * left).long(), right=True)
    return kind, place, item.clamp_max(oracle.n_items - 1)
