"""Finds top lists by block maxima, without sorting the catalogue."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from robench.api.data import IntArray
from robench.engine.rank.chunk import Scores

TOP = 10


def top_items(scores: Scores, count: int = TOP, maxima: Scores | None = None) -> IntArray:
    """Returns the best unmasked items of each row.

    The smaller id wins a tie.

    The best items are in the ``count`` blocks with the largest maxima, or after the last whole block. The smallest of
    these maxima is a lower bound for the scores of the best items.

    Args:
        scores: the scores, [B, n_items], −inf at masked items.
        count: the length of the list.
        maxima: the ``block_maxima`` of these scores, if the caller already has them.

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
    """Returns the best score in each whole block of items, [B, n_items // block]."""
    n_items = scores.shape[1]
    block = block_size(n_items)
    return scores[:, : n_items // block * block].reshape(scores.shape[0], n_items // block, block).amax(2)


def block_size(n_items: int) -> int:
    """Returns the number of items per block."""
    return 64 if n_items >= 4096 else 16


def _blocks_at(maxima: Scores, edge: Scores, count: int) -> IntArray:
    """Returns the flat positions of blocks with a maximum of at least ``edge``.

    The array ``edge`` has the shape [B, 1]. If many maxima equal the edge, only the first ``count`` of these blocks are
    returned per row.
    """
    blocks = np.flatnonzero(maxima >= edge)
    if len(blocks) <= len(maxima) * count:
        return blocks
    equal = maxima == edge
    return np.flatnonzero((maxima > edge) | (equal & (np.cumsum(equal, axis=1) <= count)))
