"""Selects the part of the training data that an attack with fake users sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robench.api.data import IntArray, TrainData
from robench.api.rng import Rng
from robench.api.threat import round_up


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
    return np.sort(rng.numpy().permutation(n_users)[: round_up(share, n_users)]).astype(np.int64)


def keep_seen(data: TrainData, users: IntArray) -> TrainData:
    """Returns the data of the users that an attack sees.

    Args:
        data: the data of all real users.
        users: the users to keep, int64.
    """
    profiles = tuple(data.profiles[user] for user in users.tolist()) if data.profiles else ()
    known = None if data.known is None else data.known.rows_in(users)
    train, validation = data.train.rows_in(users), data.validation.rows_in(users)
    return replace(data, train=train, validation=validation, profiles=profiles, known=known)
