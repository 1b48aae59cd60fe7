"""Decides which items are plausible enough to be inserted into a history."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from robench.api.data import IntArray, Interactions

BLOCK = 256  # the number of users whose co-occurrences are computed at once


class Plausibility:
    """The rule that inserted items must co-occur with the history.

    The count of two items is the number of histories that hold both items. The co-occurrence of an item with a history
    is the mean of the item's counts with the items of the history. The genuine next item of a user is the last item of
    the history. This item is compared with the earlier items, without counting the user's own history.

    Args:
        histories: the genuine histories, one row per real user.
        quantile: the quantile that sets the threshold, from 0 to 1. It is taken over the co-occurrences of all genuine
            next items.

    Attributes:
        least: the co-occurrence at this quantile, which an inserted item must reach. The value is 0 if no history has
            two different items.
    """

    def __init__(self, histories: Interactions, quantile: float) -> None:
        self._histories = histories
        rows = [np.unique(histories.row(user)) for user in range(histories.n_users)]
        self._known = _matrix(rows, histories.n_items)
        self.least = float(np.quantile(values, quantile, method="lower")) if len(values := self._next_items()) else 0.0

    def of(self, users: IntArray) -> Tensor:
        """Returns which items are plausible in some users' histories, bool [B, n_items].

        Args:
            users: the users, int64 [B].
        """
        parts = [self._counts(self._known[users[at : at + BLOCK]]) >= self.least for at in range(0, len(users), BLOCK)]
        return torch.from_numpy(np.concatenate(parts)) if parts else torch.ones(0, self._histories.n_items).bool()

    def _next_items(self) -> NDArray[np.float64]:
        """Returns the co-occurrence of each genuine next item, one float64 per user.

        Users with fewer than two different items are left out.
        """
        known = self._histories
        pairs = [(row[row != row[-1]], row[-1]) for row in map(known.row, range(known.n_users)) if len(row)]
        pairs = [(np.unique(earlier), item) for earlier, item in pairs if len(earlier)]
        values = []
        for at in range(0, len(pairs), BLOCK):
            part = pairs[at : at + BLOCK]
            counts = self._counts(_matrix([earlier for earlier, _ in part], known.n_items))
            values.append(counts[np.arange(len(part)), [item for _, item in part]] - 1)  # without the own history
        return np.concatenate(values) if values else np.empty(0)

    def _counts(self, rows: Any) -> NDArray[np.float64]:
        """Returns the co-occurrence of every item with each history.

        The result is float64 [B, n_items]. A co-occurrence is the sum of the item's counts with the items of the
        history, divided by the number of these items. It is 0 for an empty history.

        Args:
            rows: the histories, a sparse matrix [B, n_items] with 1 at the items of each history.
        """
        lengths = np.maximum(rows.sum(1), 1)
        return np.asarray(((rows @ self._known.T) @ self._known).toarray() / lengths[:, None])


def _matrix(rows: list[IntArray], n_items: int) -> Any:
    """Returns rows of items as a sparse matrix, float64 [rows, n_items].

    An entry is 1 if the row holds the item.
    """
    indptr = np.cumsum([0, *map(len, rows)])
    items = np.concatenate([np.empty(0, dtype=np.int64), *rows])
    return sparse.csr_array((np.ones(len(items)), items, indptr), shape=(len(rows), n_items))
