"""TODO-DOC."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
