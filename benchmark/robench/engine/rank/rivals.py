"""Finds the best rivals of a goal's items, without a copy of all scores."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.engine.rank.top import block_maxima, block_size

BLOCKED = 4096  # from this number of items on, block maxima find the best items faster than ``topk`` on a CPU


def best_rivals(scores: Tensor, items: Tensor, k: int) -> Tensor:
    """Returns each row's k best items outside the goal, best first.

    The order of items with equal scores is arbitrary.

    Args:
        scores: the scores, float [B, n_items], with −inf at masked items. The scores need no gradient.
        items: the items of the goal, int64 [B, H], padded with −1.
        k: the number of rivals.

    Returns:
        The items, int64 [B, at most k]. If fewer than k items are rivals, masked items and items of the goal follow.
    """
    count = min(k + items.shape[1], scores.shape[1])
    best = _top(scores, count)
    own = (best[:, :, None] == items[:, None, :]).any(2)
    # A stable sort moves the goal's items to the end, and keeps the order of the rivals.
    order = own.to(torch.int8).argsort(dim=1, stable=True)[:, : min(k, scores.shape[1])]
    return best.gather(1, order)


def _top(scores: Tensor, count: int) -> Tensor:
    """Returns the ``count`` best items of each row, int64 [B, count], best first.

    A block consists of neighbouring items. The best items are in the ``count`` blocks with the largest maxima, or after
    the last whole block.
    """
    n_items = scores.shape[1]
    block = block_size(n_items)
    whole = n_items // block
    if n_items < BLOCKED or whole <= count or scores.device.type != "cpu":
        return scores.topk(count, dim=1).indices
    blocks = block_maxima(scores).topk(count, dim=1).indices
    inside = (blocks[:, :, None] * block + torch.arange(block)).flatten(1)
    tail = torch.arange(whole * block, n_items).expand(len(scores), -1)
    candidates = torch.cat([inside, tail], 1)
    place = scores.gather(1, candidates).topk(count, dim=1).indices
    return candidates.gather(1, place)
