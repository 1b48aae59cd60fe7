"""Functions that remove interactions, shared by several corruptions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robench.api import IntArray, Interactions


def drop_in_order(train: Interactions, order: IntArray, count: int) -> Interactions:
    """Returns the interactions without the first ones of the given order.

    Every user keeps at least one interaction. If ``order`` has all interactions of a user, the one that comes last in
    ``order`` is kept.

    Args:
        train: the n interactions.
        order: the indices of interactions, in the order in which they are dropped, int64 [m].
        count: the maximum number of dropped interactions.
    """
    users = train.users()[order]
    listed, from_end = np.unique(users[::-1], return_index=True)
    whole = np.bincount(users, minlength=train.n_users)[listed] == train.lengths()[listed]
    order = np.delete(order, len(order) - 1 - from_end[whole])
    kept = np.ones(len(train), dtype=np.bool_)
    kept[order[:count]] = False
    return train.only(kept)


def by_user(train: Interactions, turns: IntArray, within: IntArray, chosen: NDArray[np.bool_]) -> IntArray:
    """Returns the indices of the chosen interactions, user by user: int64 [m].

    Args:
        train: the n interactions.
        turns: the place of each user in the result, int64 [n_users].
        within: the place of each interaction among those of the same user in the result, int64 [n].
        chosen: True for each chosen interaction, bool [n].
    """
    order = np.lexsort((within, turns[train.users()]))
    return order[chosen[order]]


def places_from_end(train: Interactions) -> IntArray:
    """Returns each interaction's number of later ones by the same user: int64 [n]."""
    result: IntArray = train.indptr[1:][train.users()] - 1 - np.arange(len(train))
    return result
