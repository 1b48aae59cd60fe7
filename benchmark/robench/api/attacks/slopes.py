"""Slopes of the loss with respect to the items of a history.

Gradient attacks on histories use these slopes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Slopes:
    """First-order estimates of how much each substitution raises the loss.

    If item j replaces item i at place l, the loss rises by about ⟨g_l, v_j − v_i⟩ (HotFlip, Ebrahimi et al., ACL 2018,
    eq. 1). Here g_l is the gradient with respect to the vector at place l, and v_i is the vector of item i. The model
    reads at most W places of each of the B histories.

    Args:
        gradient: the gradient g_l at each place, float [B, W, d], or [B, 1, d] if all places share one gradient.
        place: the places in the history that the model reads, int64 [B, W], padded with −1.
        present: the items at these places, int64 [B, W], padded with −1.
        vectors: the vectors of all items, float [n_items, d].
    """

    gradient: Tensor
    place: Tensor
    present: Tensor
    vectors: Tensor

    def of(self, user: int) -> Tensor:
        """Returns one user's slopes, by place and new item: float [W, n_items].

        A slope is −inf if the place is padding, or if the place already holds the item.
        """
        gain = self.gradient[user] @ self.vectors.T
        present = self.present[user].clamp_min(0).unsqueeze(1)
        slopes = gain - gain.expand(len(present), -1).gather(1, present)
        slopes.scatter_(1, present, -torch.inf)
        return slopes.masked_fill_(self.place[user].unsqueeze(1) < 0, -torch.inf)

    def steepest(self, count: int, allowed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns each user's substitutions with the largest slopes, largest first.

        Args:
            count: the number of substitutions per row.
            allowed: a mask of the items that may replace others, bool [B, n_items].

        Returns:
            The place (int64), the new item (int64) and the slope (float) of each substitution, [B, count] each. If a
            row has fewer than ``count`` substitutions, the remaining places are −1.
        """
        rows, n_items = len(self.place), len(self.vectors)
        place = torch.full((rows, count), -1)
        item = torch.zeros((rows, count), dtype=torch.int64)
        slope = torch.full((rows, count), -torch.inf)
        for user in range(rows):
            flat = self.of(user).masked_fill_(~allowed[user], -torch.inf).flatten()
            best = flat.topk(min(count, len(flat)))
            finite = best.values > -torch.inf
            index = best.indices[finite]
            place[user, : len(index)] = self.place[user][index // n_items]
            item[user, : len(index)] = index % n_items
            slope[user, : len(index)] = best.values[finite]
        return place, item, slope
