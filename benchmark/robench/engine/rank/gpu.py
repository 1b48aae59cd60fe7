"""Ranks scores on a GPU.

Only ranks, top lists and the scores to be stored are copied to the CPU.
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

    ``rank_items`` returns the same ranking for scores on the CPU.

    Args:
        scores: the scores, [B, n_items], on any device.
        chunk: the chunk of these users, on the same device.
        targets: the items for which ranks are also computed, int64 [T].
        count: the length of the top lists.
        masked: whether ``mask_known`` has already masked the scores.

    Raises:
        PluginError: if a score is not finite. Scores that are already masked are not checked.
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
    """Returns each user's best unmasked items, int64 [B, count], padded with −1.

    If scores are equal, the smaller id comes first. ``topk`` may choose any of the items with equal scores. Therefore,
    only the last value that ``topk`` returns is used. The list consists of all items with a higher score, followed by
    the first items with exactly this score.
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

    The scores are float32 [2, B, H], with NaN for the item −1.
    """
    places = torch.stack([held, negatives])
    pairs = torch.stack([scores.gather(1, part.clamp_min(0)) for part in places]).float()
    return pairs.masked_fill(places < 0, torch.nan)
