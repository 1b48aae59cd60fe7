"""Splits events into training, validation and test items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robench.api.data import IntArray
from robench.api.errors import DataError
from robench.api.rng import Rng
from robench.spec import Part

TRAIN, VALIDATION, TEST = 0, 1, 2
PartArray = NDArray[np.int8]


def parts_of(split: Part, users: IntArray, times: IntArray, *, timed: bool) -> PartArray:
    """Returns the part of every event, int8 [n]: 0 training, 1 validation, 2 test.

    Args:
        split: the name and the settings of the split.
        users: the user of each event, int64 [n], sorted. The events of a user are in time order, with ties in the
            order of items.
        times: the time of each event, int64 [n].
        timed: whether the source has times.

    Raises:
        DataError: if the split is ``global-time`` and the source has no times.
    """
    if split.name == "leave-last-out":
        return leave_last_out(users, int(split.config.get("n", 1)))
    if split.name == "random-ratio":
        return random_ratio(users, tuple(split.config["ratios"]), Rng(int(split.config["seed"])).child("split"))
    if split.name == "global-time":
        if not timed:
            raise DataError("the split global-time needs times, and this data set has none")
        return global_time(times, float(split.config["validation"]), float(split.config["test"]))
    raise ValueError(f"unknown split {split.name}")


def _places(users: IntArray) -> tuple[IntArray, IntArray]:
    """Returns each event's position in the user's row, and the length of the row."""
    counts = np.bincount(users)
    starts = np.cumsum(counts) - counts
    return np.arange(len(users), dtype=np.int64) - starts[users], counts[users].astype(np.int64)


def leave_last_out(users: IntArray, n: int = 1) -> PartArray:
    """Holds out each user's last n events, and validates on the n events before them.

    Users with fewer than 2n + 1 events are for training only.
    """
    counts = np.bincount(users)
    ends = np.cumsum(counts)[counts > 2 * n]
    parts = np.full(len(users), TRAIN, dtype=np.int8)
    for back in range(1, n + 1):
        parts[ends - n - back], parts[ends - back] = VALIDATION, TEST
    return parts


def random_ratio(users: IntArray, ratios: tuple[float, ...], rng: Rng) -> PartArray:
    """Shuffles the events of each user, and divides them by ratios.

    The ratios are in the order training, validation, test. A user with n events has round(n · test) test events and
    round(n · validation) validation events. At least one event stays in training.
    """
    order = np.lexsort((rng.numpy().random(len(users)), users))
    place, length = np.empty_like(users), _places(users)[1]
    place[order] = _places(users[order])[0]
    total = sum(ratios)
    test = np.floor(length * ratios[2] / total + 0.5).astype(np.int64)
    validation = np.floor(length * ratios[1] / total + 0.5).astype(np.int64)
    test = np.minimum(test, length - 1)
    validation = np.minimum(validation, length - 1 - test)
    return np.where(place < test, TEST, np.where(place < test + validation, VALIDATION, TRAIN)).astype(np.int8)


def global_time(times: IntArray, validation: float, test: float) -> PartArray:
    """Holds out the latest events of all users.

    The latest events form the test part, and the events just before them form the validation part. Events with equal
    times are never separated.

    Raises:
        DataError: if the shares leave nothing to train on.
    """
    if validation + test >= 1:
        raise DataError("the shares of validation and test leave nothing to train on")
    late = np.quantile(times, 1 - test, method="higher")
    middle = np.quantile(times, 1 - test - validation, method="higher")
    return np.where(times > late, TEST, np.where(times > middle, VALIDATION, TRAIN)).astype(np.int8)
