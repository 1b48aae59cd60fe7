"""Finds the best items of each user by block maxima, without sorting all scores."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from robench.api.data import IntArray
from robench.engine.rank.chunk import Scores

TOP = 10


def top_items(scores: Scores, count: int = TOP, maxima: Scores | None = None) -> IntArray:
    """Returns the best unmasked items of each row.

    If scores are equal, the smaller id comes first.

    The best items are in the ``count`` blocks with the largest maxima, or after the last whole block. The smallest of
    these ``count`` maxima is a lower bound for the scores of the best items.

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
    parts = scores[:, : whole * block].reshape(users, whole, block)
    edge = np.full((users, 1), -np.inf, dtype=scores.dtype)
    if whole >= count:
        edge = np.partition(maxima, whole - count, axis=1)[:, whole - count, None]
    row, which = np.divmod(_blocks_at(maxima, edge, count), max(1, whole))
    place, offset = np.divmod(np.flatnonzero(parts[row, which] >= edge[row]), block)
    last, beyond = np.nonzero(scores[:, whole * block :] >= edge)
    user = np.concatenate([row[place], last])
    item = np.concatenate([which[place] * block + offset, whole * block + beyond])
    score = scores[user, item]
    order = np.lexsort((item, -score, user))
    user, item, score = user[order], item[order], score[order]
    rank = np.arange(len(user)) - np.searchsorted(user, np.arange(users))[user]
    listed = (rank < count) & (score > -np.inf)
    top = np.full((users, count), -1, dtype=np.int64)
    top[user[listed], rank[listed]] = item[listed]
    return top


def block_maxima(scores: Tensor) -> Tensor:
    """Returns the best score in each whole block of each row: [B, n_items // block].

    A block consists of ``block_size`` neighbouring items.
    """
    n_items = scores.shape[1]
    block = block_size(n_items)
    return scores[:, : n_items // block * block].reshape(scores.shape[0], n_items // block, block).amax(2)


def block_size(n_items: int) -> int:
    """Returns the number of items per block for a catalogue."""
    return 64 if n_items >= 4096 else 16


def _blocks_at(maxima: Scores, edge: Scores, count: int) -> IntArray:
    """Returns the positions of the blocks with a maximum of at least ``edge`` [B, 1].

    The positions are indices of the flattened maxima. If too many maxima equal the edge, only the first ``count`` of
    these blocks are returned per row.
    """
    blocks = np.flatnonzero(maxima >= edge)
    if len(blocks) <= len(maxima) * count:
        return blocks
    equal = maxima == edge
    return np.flatnonzero((maxima > edge) | (equal & (np.cumsum(equal, axis=1) <= count)))
