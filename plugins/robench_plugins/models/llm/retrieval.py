"""Retrieval, which chooses the candidates that the language model ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robench.api import IntArray, Interactions
from robench_plugins.models.ease import Ease
from robench_plugins.models.history_model import HistoryModel
from robench_plugins.models.item_knn import ItemKnn
from robench_plugins.models.sparse_matrix import interaction_matrix, without_repeats
from robench_plugins.models.user_knn import UserKnn

RETRIEVERS: dict[str, type[HistoryModel]] = {"ease": Ease, "item-knn": ItemKnn, "user-knn": UserKnn}


def retrieve(
    retriever: HistoryModel, rows: Interactions, users: IntArray | None, count: int
) -> tuple[IntArray, IntArray, NDArray[np.float32]]:
    """Returns the candidates of histories, and the order and scores of all items.

    A candidate is an item that has training interactions and is not in the history.

    Args:
        retriever: the fitted retriever.
        rows: B histories, one per row.
        users: the user of each history, int64 [B], or None for users who are not in the training data.
        count: the number of candidates per history.

    Returns:
        The candidates, int64 [B, count], padded with −1, and all items, int64 [B, n_items]. Both are sorted best first.
        The third result holds the retriever's scores, float32 [B, n_items].
    """
    scores = retriever.score_rows(interaction_matrix(without_repeats(rows)), users)
    scores[rows.lengths() == 0] = retriever.counts
    order = np.argsort(-scores, axis=1, kind="stable")
    allowed = np.tile(retriever.counts > 0, (rows.n_users, 1))
    allowed[rows.users(), rows.items] = False
    candidates = np.full((rows.n_users, count), -1, dtype=np.int64)
    for row, items in enumerate(order):
        best = items[allowed[row, items]][:count]
        candidates[row, : len(best)] = best
    return candidates, order, scores


def scores_in_order(order: IntArray, highest: float) -> NDArray[np.float64]:
    """Returns scores that fall by 1 from item to item: float64 [B, n_items].

    Args:
        order: all items, int64 [B, n_items], best first.
        highest: the score of the best item.
    """
    scores = np.empty(order.shape)
    np.put_along_axis(scores, order, highest - np.arange(order.shape[1])[None], axis=1)
    return scores
