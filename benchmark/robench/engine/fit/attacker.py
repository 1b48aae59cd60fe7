"""Selects the part of the training data that an attack with fake users sees."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from robench.api.data import IntArray, Interactions, TrainData
from robench.api.rng import Rng


def choose_seen_users(n_users: int, share: float, rng: Rng) -> IntArray:
    """Draws the real users whose rows an attack sees.

    With the same random stream, a larger share contains all users of a smaller share.

    Args:
        n_users: the number of real users.
        share: the share of the real users, in (0, 1]. The number of users is rounded up.
        rng: the random stream, which must not depend on the attack.

    Returns:
        The users, int64, sorted.
    """
    if share == 1:
        return np.arange(n_users, dtype=np.int64)
    count = math.ceil(round(share * n_users, 9))
    return np.sort(rng.numpy().permutation(n_users)[:count]).astype(np.int64)


def keep_users(data: Interactions, users: IntArray) -> Interactions:
    """Returns the rows of some users, in the given order.

    The result is ``data`` itself if all users are kept.

    Args:
        data: the interactions of all users.
        users: the users to keep, int64.
    """
    if np.array_equal(users, np.arange(data.n_users)):
        return data
    empty = np.empty(0, dtype=np.int64)
    places = np.concatenate([empty, *(np.arange(data.indptr[user], data.indptr[user + 1]) for user in users.tolist())])
    indptr = np.concatenate([[0], np.cumsum(data.lengths()[users])]).astype(np.int64)
    return Interactions(indptr, data.items[places], data.times[places], data.n_items)


def keep_seen(data: TrainData, users: IntArray) -> TrainData:
    """Returns the data of the users that an attack sees.

    Args:
        data: the data of all real users.
        users: the users to keep, int64.
    """
    profiles = tuple(data.profiles[user] for user in users.tolist()) if data.profiles else ()
    known = None if data.known is None else keep_users(data.known, users)
    train, validation = keep_users(data.train, users), keep_users(data.validation, users)
    return replace(data, train=train, validation=validation, profiles=profiles, known=known)
