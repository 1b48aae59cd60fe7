"""Ranks held-out items and targets by counting scores, and makes the top lists."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robench.api.data import IntArray
from robench.api.errors import PluginError
from robench.engine.rank.chunk import NOT_FINITE, EvaluationChunk, Scores
from robench.engine.rank.top import TOP, block_maxima, count_blocks, top_items

CACHED = 1 << 19  # the largest number of scores that are ranked together; 2 MiB stay in a cache, and calls are few
COUNTED = 32  # for more held-out items per user, sorting a row takes less time than counting
Array = TypeVar("Array", IntArray, Tensor)


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

    Most steps run on one group of rows at a time, so that the rows stay in a cache.

    Args:
        scores: the scores, [B, n_items]. The function masks this array in place, and restores it at the end.
        chunk: the chunk of these users, on the CPU.
        targets: the items for which ranks are also computed, int64 [T].
        count: the length of the top lists.
        masked: whether ``mask_known`` has already masked the scores.

    Raises:
        PluginError: if a score is not finite. Scores that are already masked are not checked.
    """
    if not scores.flags.carray:
        scores = np.require(scores, requirements=["C", "W"])
    users, n_items = scores.shape
    row, item = (part.numpy() for part in chunk.masked)
    held, flat, place = chunk.held.numpy(), scores.reshape(-1), row * n_items + item
    own = flat[np.arange(users)[:, None] * n_items + np.maximum(held, 0)]
    own[held < 0] = np.inf
    promoted = np.empty(0, dtype=np.int64) if targets is None else targets
    at_least, target_ranks = np.empty_like(held), np.empty((users, len(promoted)), dtype=np.int64)
    groups, mask, tensor = _groups(scores), _scratch(scores), torch.from_numpy(scores)
    ends = np.searchsorted(row, [group.stop for group in groups]).tolist()
    kept, maxima = np.empty(len(place), dtype=scores.dtype), tensor.new_empty(users, count_blocks(n_items))
    total, first = 0.0, 0
    for group, end in zip(groups, ends, strict=True):
        rows, part, known = scores[group], tensor[group], place[first:end]
        if not masked:
            total += float(part.sum())
        kept[first:end] = flat[known]  # after the sum has brought the rows into the cache
        flat[known] = -np.inf
        if count:
            block_maxima(part, maxima[group])
        at_least[group] = _count_at_least(rows, own[group], mask)
        if len(promoted):
            target_ranks[group] = _rank_targets(rows, promoted, mask)
        first = end
    if len(promoted):
        target_ranks[(held[:, :, None] == promoted).any(1)] = 0
    top = top_items(scores, count, maxima.numpy()) if count else np.empty((users, 0), dtype=np.int64)
    pairs = None if chunk.negatives is None else pair_scores(scores, held, chunk.negatives.numpy())
    flat[place] = kept  # the model may still use the array
    if not math.isfinite(total) and not np.isfinite(scores).all():
        raise PluginError(NOT_FINITE)
    return Ranking(torch.from_numpy(_break_ties(at_least, own, held)), top, target_ranks.T, pairs)


def held_out_ranks(scores: Tensor, held: Tensor) -> Tensor:
    """Returns the rank of each held-out item, int64 [B, H], with 0 at padding.

    The rank is 1 plus the number of items ahead. Every item with a higher score is ahead. Of the items with the same
    score, those that are not held out are ahead, and so are held-out items with a smaller id. Therefore, ties count
    against the defender.

    Args:
        scores: the scores, [B, n_items], with −inf at masked items.
        held: the held-out items, int64 [B, H], padded with −1.
    """
    own = torch.where(held >= 0, scores.gather(1, held.clamp_min(0)), torch.inf)
    if scores.device.type == "cpu":
        rows, mask = scores.numpy(), _scratch(scores.numpy())
        counts = [_count_at_least(rows[group], own.numpy()[group], mask) for group in _groups(rows)]
        at_least = torch.from_numpy(np.concatenate(counts)) if counts else torch.empty_like(held)
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


def _groups(scores: Scores) -> list[slice]:
    """Returns the groups of rows that are ranked together."""
    step = max(1, CACHED // scores.shape[1])
    return [slice(start, min(start + step, len(scores))) for start in range(0, len(scores), step)]


def _scratch(scores: Scores) -> NDArray[np.bool_]:
    """Returns a buffer for comparing a group of rows: bool [rows, n_items]."""
    return np.empty((min(len(scores), max(1, CACHED // scores.shape[1])), scores.shape[1]), dtype=np.bool_)


def _count_at_least(rows: Scores, own: Scores, mask: NDArray[np.bool_]) -> IntArray:
    """Counts the scores of each row that are at least as high as those in ``own``.

    Args:
        rows: the scores of some users, [g, n_items].
        own: the scores to compare with, [g, h].
        mask: scratch space, bool [at least g, n_items].

    Returns:
        The counts, int64 [g, h].
    """
    counts = np.empty(own.shape, dtype=np.int64)
    if own.shape[1] > COUNTED:
        for place, (row, values) in enumerate(zip(rows, own, strict=True)):
            counts[place] = len(row) - np.searchsorted(np.sort(row), values)
        return counts
    for place in range(own.shape[1]):
        reached = np.greater_equal(rows, own[:, place : place + 1], mask[: len(rows)])
        # ``count_nonzero`` of a whole row takes 1 µs for 40,000 items, and more with ``axis``.
        counts[:, place] = [np.count_nonzero(row) for row in reached]
    return counts


def _rank_targets(rows: Scores, targets: IntArray, mask: NDArray[np.bool_]) -> IntArray:
    """Returns the rank of each target for some users, or 0 for a masked target.

    Args:
        rows: the scores of the users, [g, n_items], with −inf at masked items.
        targets: the targets, int64 [T].
        mask: scratch space, bool [at least g, n_items].

    Returns:
        The ranks, int64 [g, T].
    """
    own = rows[:, targets]
    ranks = np.empty(own.shape, dtype=np.int64)
    for place in range(len(targets)):
        higher = np.greater(rows, own[:, place : place + 1], mask[: len(rows)])
        ranks[:, place] = [1 + np.count_nonzero(row) for row in higher]
    ranks[own == -np.inf] = 0
    return ranks


def _break_ties(at_least: Array, own: Any, held: Array) -> Array:
    """Returns the rank of each held-out item, int64 [B, H], with 0 at padding.

    The arguments are numpy arrays, or tensors on one device, [B, H] each.

    Args:
        at_least: for each held-out item, the number of items with at least the same score, int64. This number includes
            the item itself, and held-out items with the same score and a larger id. To get the rank, both are
            subtracted and 1 is added.
        own: the scores of the held-out items.
        held: the held-out items, int64, padded with −1.
    """
    valid = held >= 0
    if held.shape[1] == 1:
        return at_least * valid
    tied = (own[:, :, None] == own[:, None, :]) & valid[:, None, :] & (held[:, None, :] >= held[:, :, None])
    ranks: Array = (1 + at_least - tied.sum(2)) * valid
    return ranks
