"""Ranks held-out items and targets by counting higher scores."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robench.api.data import IntArray
from robench.api.errors import PluginError
from robench.engine.rank.chunk import NOT_FINITE, EvaluationChunk, Scores
from robench.engine.rank.top import TOP, block_maxima, top_items

CACHED = 1 << 19  # the largest number of scores that are ranked together; 2 MiB stay in a cache, and calls are few
COUNTED = 32  # for more held-out items per user, sorting a row takes less time than counting


@dataclass(frozen=True, eq=False)
class Ranking:
    """The ranks, top lists and stored scores of a chunk of users.

    Args:
        ranks: the ranks of the held-out items as ``held_out_ranks`` defines them, int64 [B, H].
        top: the best unmasked items, int64 [B, count], padded with −1. If scores are equal, the smaller id comes first.
        targets: the ranks of the targets, int64 [T, B]. A rank is 1 plus the number of items with a higher score. The
            rank is 0 if the target is known or held out for the user.
        pairs: the scores of the held-out items and their negatives, float32 [2, B, H], with NaN at padding. The value
            is None if the chunk has no negatives.
    """

    ranks: Tensor
    top: IntArray
    targets: IntArray
    pairs: Scores | None = None


def rank_items(
    scores: Scores, chunk: EvaluationChunk, targets: IntArray | None = None, *, count: int = TOP, masked: bool = False
) -> Ranking:
    """Masks and ranks the scores of a chunk on the CPU.

    Most steps run on a few rows at a time, so that these rows stay in the cache of a core.

    Args:
        scores: the scores, [B, n_items]. The function masks this array in place, and restores it at the end.
        chunk: the chunk of these users, on the CPU.
        targets: the items for which ranks are also computed, int64 [T].
        count: the length of the top lists.
        masked: whether ``mask_known`` has already masked the scores.

    Raises:
        PluginError: if a score is not finite.
    """
    if not scores.flags.carray:
        scores = np.require(scores, requirements=["C", "W"])
    users, n_items = scores.shape
    row, item = (part.numpy() for part in chunk.masked)
    held, flat, place = chunk.held.numpy(), scores.reshape(-1), row * n_items + item
    own = flat[np.arange(users)[:, None] * n_items + np.maximum(held, 0)]
    own[held < 0] = np.inf
    promoted = np.empty(0, dtype=np.int64) if targets is None else targets
    mask, step = np.empty(n_items, dtype=np.bool_), max(1, CACHED // n_items)
    starts = range(0, users, step)
    ends = np.searchsorted(row, [*starts, users]).tolist()
    kept, sums, maxima = [flat[:0]], [torch.zeros(())], []
    at_least: list[list[int]] = []
    above: list[list[int]] = []
    for start, first, last in zip(starts, ends[:-1], ends[1:], strict=True):
        rows, known = scores[start : start + step], place[first:last]
        part = torch.from_numpy(rows)
        if not masked:
            sums.append(part.sum())
        kept.append(flat[known])  # after the sum has brought the rows into the cache
        flat[known] = -np.inf
        if count:
            maxima.append(block_maxima(part))
        at_least += map(_count_at_least, rows, own[start : start + step], repeat(mask))
        if len(promoted):
            above += map(_rank_targets, rows, repeat(promoted), repeat(mask))
    target_ranks = np.array(above, dtype=np.int64).reshape(users, len(promoted))
    if len(promoted):
        target_ranks[(held[:, :, None] == promoted).any(1)] = 0
    top = top_items(scores, count, torch.cat(maxima).numpy()) if maxima else np.full((users, count), -1, dtype=np.int64)
    pairs = None if chunk.negatives is None else pair_scores(scores, held, chunk.negatives.numpy())
    flat[place] = np.concatenate(kept)  # the model may still use the array
    if not bool(torch.isfinite(torch.stack(sums)).all()) and not np.isfinite(scores).all():
        raise PluginError(NOT_FINITE)
    counts = torch.tensor(at_least, dtype=torch.int64).reshape(held.shape)
    return Ranking(_break_ties(counts, torch.from_numpy(own), chunk.held), top, target_ranks.T, pairs)


def held_out_ranks(scores: Tensor, held: Tensor) -> Tensor:
    """Returns the rank of each held-out item, int64 [B, H], with 0 at padding.

    The rank is 1 plus the number of items ahead. Every item with a higher score is ahead. Of the items with the same
    score, all that are not held out are ahead, and also held-out items with a smaller id. Therefore, ties count against
    the defender.

    Args:
        scores: the scores, [B, n_items], with −inf at masked items.
        held: the held-out items, int64 [B, H], padded with −1.
    """
    own = torch.where(held >= 0, scores.gather(1, held.clamp_min(0)), torch.inf)
    if scores.device.type == "cpu":
        mask = np.empty(scores.shape[1], dtype=np.bool_)
        counts = [_count_at_least(*pair, mask) for pair in zip(scores.numpy(), own.numpy(), strict=True)]
        at_least = torch.tensor(counts, dtype=torch.int64).reshape(held.shape)
    else:
        at_least = torch.stack([(scores >= own[:, h : h + 1]).sum(1) for h in range(held.shape[1])], 1)
    return _break_ties(at_least, own, held)


def discount(ranks: Tensor) -> Tensor:
    """Returns 1 / log2(1 + rank) for each rank, float64.

    Ranks start at 1. The value for a rank of 0 equals the value for rank 1.
    """
    return 1 / torch.log2(1 + ranks.double().clamp_min(1))


def pair_scores(scores: Scores, held: IntArray, negatives: IntArray) -> Scores:
    """Returns the scores of held-out items and their negatives.

    Returns:
        The scores, float32 [2, B, H], with NaN for the item −1.
    """
    places = np.stack([held, negatives])
    pairs = np.take_along_axis(scores[None], np.maximum(places, 0), axis=2).astype(np.float32)
    return np.where(places >= 0, pairs, np.float32(np.nan))


def _count_at_least(row: Scores, own: Scores, mask: NDArray[np.bool_]) -> list[int]:
    """Counts the scores in ``row`` that are at least as high as each one in ``own``.

    Args:
        row: the scores of one user, [n_items].
        own: the scores to compare with, [h].
        mask: scratch space, bool [n_items].
    """
    if len(own) > COUNTED:
        counts: list[int] = (len(row) - np.searchsorted(np.sort(row), own)).tolist()
        return counts
    # A contiguous comparison and numpy's count take about 4 µs for 40,000 scores.
    return [int(np.count_nonzero(np.greater_equal(row, score, mask))) for score in own]


def _rank_targets(row: Scores, targets: IntArray, mask: NDArray[np.bool_]) -> list[int]:
    """Returns the rank of each target by one user's scores, or 0 for a masked target.

    Args:
        row: the scores of one user, [n_items], with −inf at masked items.
        targets: the targets, int64 [T].
        mask: scratch space, bool [n_items].
    """
    own = row[targets]
    return [int(s > -np.inf) and 1 + int(np.count_nonzero(np.greater(row, s, mask))) for s in own]


def _break_ties(at_least: Tensor, own: Tensor, held: Tensor) -> Tensor:
    """Returns the rank of each held-out item, int64 [B, H], with 0 at padding.

    ``at_least`` holds, for each held-out item, the number of items with at least the same score. This number includes
    the item itself, and held-out items with the same score and a larger id. To get the rank, both are subtracted and 1
    is added.
    """
    valid = held >= 0
    if held.shape[1] == 1:
        return torch.where(valid, at_least, 0)
    tied = (own[:, :, None] == own[:, None, :]) & valid[:, None, :] & (held[:, None, :] >= held[:, :, None])
    return torch.where(valid, 1 + at_least - tied.sum(2), 0)
