"""Edits of histories: applied, drawn at random, and their first-order effect.

Rows of histories are int64 [B, L], oldest item first, right-padded with −1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robench.api.history import DELETE, INSERT, KINDS, SUBSTITUTE, Edit, HistoryOracle


@dataclass(frozen=True, eq=False)
class Slopes:
    """First-order change of the loss by every substitution: the loss rises by about ⟨g_l, v_j − v_i⟩ when item i at
    place l becomes item j (HotFlip, Ebrahimi et al., ACL 2018, eq. 1), g_l the gradient by the vector at l.

    Args:
        gradient: float [B, W, d], or [B, 1, d] where all places share one.
        place: int64 [B, W] places of the history that the model reads, −1 where it reads fewer.
        present: int64 [B, W] the items that stand there.
        vectors: float [n_items, d].
    """

    gradient: Tensor
    place: Tensor
    present: Tensor
    vectors: Tensor

    def of(self, user: int) -> Tensor:
        """Slopes of one row: float [W, n_items], −inf where there is no place and where an item would stay."""
        gain = self.gradient[user] @ self.vectors.T
        present = self.present[user].clamp_min(0).unsqueeze(1)
        slopes = gain - gain.expand(len(present), -1).gather(1, present)
        slopes.scatter_(1, present, -torch.inf)
        return slopes.masked_fill_(self.place[user].unsqueeze(1) < 0, -torch.inf)

    def steepest(self, count: int, allowed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best substitutions, best first.

        Args:
            count: how many per row.
            allowed: bool [B, n_items], items that may come in.

        Returns:
            place int64 [B, count], −1 where there are fewer; item int64 [B, count]; slope float [B, count].
        """
        rows, n_items = len(self.place), len(self.vectors)
        place = torch.full((rows, count), -1)
        item = torch.zeros((rows, count), dtype=torch.int64)
        slope = torch.full((rows, count), -torch.inf)
        for user in range(rows):
            flat = self.of(user).masked_fill_(~allowed[user], -torch.inf).flatten()
            best = flat.topk(min(count, len(flat)))
            kept = best.values > -torch.inf
            index, found = best.indices[kept], best.values[kept]
            place[user, : len(index)] = self.place[user][index // n_items]
            item[user, : len(index)] = index % n_items
            slope[user, : len(index)] = found
        return place, item, slope


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
