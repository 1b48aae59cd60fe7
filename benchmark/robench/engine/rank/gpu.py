"""Ranks scores on a GPU.

Only ranks, top lists and the scores to store are moved to the host.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robench.api.data import IntArray
from robench.engine.rank.chunk import EvaluationChunk, mask_known
from robench.engine.rank.ranking import Ranking, held_out_ranks
from robench.engine.rank.top import TOP


def rank_on_device(
    scores: Tensor, chunk: EvaluationChunk, targets: IntArray | None = None, *, count: int = TOP, masked: bool = False
) -> Ranking:
    """Masks and ranks the scores of a chunk on the device of the scores.

    The result equals the result of ``rank_items``.

    Args:
        scores: the scores, [B, n_items], on any device.
        chunk: the chunk of these users, on the same device.
        targets: the promoted items, int64 [T].
        count: the length of the top list.
        masked: whether ``mask_known`` has already masked the scores.

    Raises:
        PluginError: if a score is not finite.
    """
    scores = scores if masked else mask_known(scores, chunk)
    promoted = torch.from_numpy(targets).to(scores.device) if targets is not None else chunk.held.new_empty(0)
    own = scores[:, promoted]
    above = [(scores > own[:, place : place + 1]).sum(1) + 1 for place in range(len(promoted))]
    has = (own == -torch.inf) | (chunk.held[:, :, None] == promoted).any(1)
    ranks = torch.stack(above, 1).masked_fill(has, 0) if above else own.long()
    return Ranking(
        held_out_ranks(scores, chunk.held).cpu(),
        top_on_device(scores, count).cpu().numpy(),
        ranks.T.cpu().numpy(),
        None if chunk.negatives is None else _pairs(scores, chunk.held, chunk.negatives).cpu().numpy(),
    )


def top_on_device(scores: Tensor, count: int) -> Tensor:
    """Returns the best unmasked items, int64 [B, count], padded with −1.

    The smaller id wins a tie. Among equal scores, ``topk`` may choose any item. Therefore only the last value of
    ``topk`` is used. The list has all items above this value, and then the first items with this value.
    """
    few = min(count, scores.shape[1])
    padding = torch.full((len(scores), count - few), -1, dtype=torch.int64, device=scores.device)
    if not few:
        return padding
    edge = scores.topk(few, dim=1).values[:, -1:]
    better, equal = scores > edge, scores == edge
    listed = better | (equal & (equal.cumsum(1) <= few - better.sum(1, keepdim=True)))
    # Exactly ``few`` items of a row are listed. Smaller ids come first, and a stable sort keeps this order.
    items = listed.int().topk(few, dim=1).indices.sort(dim=1).values
    values, order = scores.gather(1, items).sort(dim=1, descending=True, stable=True)
    return torch.cat([items.gather(1, order).masked_fill(values == -torch.inf, -1), padding], 1)


def _pairs(scores: Tensor, held: Tensor, negatives: Tensor) -> Tensor:
    """Returns the scores of held-out items and their negatives.

    The scores are float32 [2, B, H], with NaN in place of the score of item −1.
    """
    places = torch.stack([held, negatives])
    pairs = torch.stack([scores.gather(1, part.clamp_min(0)) for part in places]).float()
    return pairs.masked_fill(places < 0, torch.nan)
