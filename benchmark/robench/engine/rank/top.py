"""Finds the best items of each user by block maxima, without sorting all scores."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robench.api.data import IntArray
from robench.engine.rank.chunk import Scores

TOP = 10


def top_items(scores: Scores, count: int = TOP, maxima: Scores | None = None) -> IntArray:
    """Returns the best unmasked items of each row.

    If scores are equal, the smaller id comes first.

    A block consists of ``block_size`` neighbouring items. The best items are in the ``count`` blocks with the largest
    maxima, or after the last whole block. The smallest of these ``count`` maxima is a lower bound for the scores of the
    best items.

    Args:
        scores: the scores, [B, n_items], with −inf at masked items.
        count: the length of the top lists.
        maxima: the result of ``block_maxima`` for these scores, if the caller already has it.

    Returns:
        The items, int64 [B, count], padded with −1.
    """
    if maxima is None:
        maxima = block_maxima(torch.from_numpy(scores)).numpy()
    (users, whole), block = maxima.shape, block_size(scores.shape[1])
    end = whole * block
    edge = np.full((users, 1), np.finfo(scores.dtype).min)  # masked items are below
    if whole >= count:
        edge = np.maximum(edge, np.partition(maxima, whole - count, axis=1)[:, whole - count, None])
    user, which = _true_cells(_blocks_at(maxima, edge, count))
    blocks = scores[:, :end].reshape(users, whole, block)[user, which]
    hit, offset = _true_cells(blocks >= edge[user])
    user, item, score = user[hit], which[hit] * block + offset, blocks[hit, offset]
    beyond_user, beyond = _true_cells(scores[:, end:] >= edge)
    if len(beyond):
        user, item = np.concatenate([user, beyond_user]), np.concatenate([item, end + beyond])
        order = np.argsort(user, kind="stable")
        user, item = user[order], item[order]
        score = scores[user, item]
    # One row per user and one column per candidate, smaller ids first. A stable sort keeps this order among ties.
    sizes = np.bincount(user, minlength=users)
    column = np.arange(len(user)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    shape = users, max(count, int(sizes.max(initial=0)))
    candidates, negative = np.full(shape, -1, dtype=np.int64), np.full(shape, np.inf, dtype=scores.dtype)
    candidates[user, column], negative[user, column] = item, -score
    best = np.argsort(negative, axis=1, kind="stable")[:, :count]
    return candidates[np.arange(users)[:, None], best]


def block_maxima(scores: Tensor, out: Tensor | None = None) -> Tensor:
    """Returns the best score in each whole block of each row: [B, n_items // block].

    A block consists of ``block_size`` neighbouring items. If ``out`` is given, the result is written there.
    """
    users, n_items = scores.shape
    whole, block = count_blocks(n_items), block_size(n_items)
    return torch.amax(scores[:, : whole * block].reshape(users, whole, block), 2, out=out)


def count_blocks(n_items: int) -> int:
    """Returns the number of whole blocks in a catalogue."""
    return n_items // block_size(n_items)


def block_size(n_items: int) -> int:
    """Returns the number of items per block for a catalogue."""
    return 128 if n_items >= 1 << 15 else 64 if n_items >= 4096 else 16


def _true_cells(mask: NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
    """Returns the rows and the columns of all true cells of a matrix, int64 each.

    The result is that of ``np.nonzero``, which takes ten times as long for a matrix with few true cells.
    """
    return np.divmod(np.flatnonzero(mask), max(1, mask.shape[1]))


def _blocks_at(maxima: Scores, edge: Scores, count: int) -> NDArray[np.bool_]:
    """Returns which blocks have a maximum of at least ``edge`` [B, 1].

    The result is bool [B, n_items // block].

    If too many blocks qualify, the result has all blocks above ``edge``. Of the blocks that equal ``edge``, it has only
    the first ``count`` in each row.
    """
    blocks = maxima >= edge
    if np.count_nonzero(blocks) <= len(maxima) * count:
        return blocks
    equal = maxima == edge
    result: NDArray[np.bool_] = (maxima > edge) | (equal & (np.cumsum(equal, axis=1) <= count))
    return result
