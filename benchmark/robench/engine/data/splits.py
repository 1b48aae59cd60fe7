"""Splits events into training, validation and test items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robench.api.data import IntArray
from robench.api.errors import DataError
from robench.api.rng import Rng
from robench.spec import Part

TRAIN, VALIDATION, TEST, KNOWN = 0, 1, 2, 3
FEWEST_OF_COLD = 5  # the fewest events of a cold user, as in Liang et al. (WWW 2018)
PartArray = NDArray[np.int8]


def parts_of(split: Part, users: IntArray, times: IntArray, *, timed: bool) -> PartArray:
    """Returns the part of every event, int8 [n].

    The parts are 0 training, 1 validation, 2 test, 3 known.

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
    if split.name == "cold-users":
        return cold_users(
            users,
            float(split.config["validation"]),
            float(split.config["test"]),
            float(split.config["known"]),
            split.config["held_out"] == "last",
            Rng(int(split.config["seed"])).child("split"),
        )
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


def cold_users(users: IntArray, validation: float, test: float, known: float, by_time: bool, rng: Rng) -> PartArray:
    """Holds out whole users, of whom a part of the events is known.

    Models score these users from the known events at test time.

    This is the protocol of Liang et al. (WWW 2018). Of the users with at least 5 events, round(validation · users) and
    round(test · users) random ones are cold. All events of the other users are for training. A cold user with n events
    has round((1 − known) · n) held-out events, at least one. The rest are known at test time.

    Args:
        users: the user of each event, int64 [n], sorted.
        validation: the share of users to validate on.
        test: the share of users to test on.
        known: the share of a cold user's events that is known.
        by_time: whether the last events are held out, instead of random ones.
        rng: the random stream of the split.

    Raises:
        DataError: if no user is left for training, or for the test.
    """
    place, length = _places(users)
    able = np.flatnonzero(np.bincount(users) >= FEWEST_OF_COLD)
    drawn = rng.child("users").numpy().permutation(able)
    tested, validated = int(test * len(able) + 0.5), int(validation * len(able) + 0.5)
    if not tested or tested + validated >= len(able):
        problem = f"{len(able)} users have at least {FEWEST_OF_COLD} events: too few to hold some of them out"
        raise DataError(problem)
    part_of = np.full(int(users[-1]) + 1, TRAIN, dtype=np.int8)
    part_of[drawn[:tested]], part_of[drawn[tested : tested + validated]] = TEST, VALIDATION
    if not by_time:
        order = np.lexsort((rng.child("events").numpy().random(len(users)), users))
        place[order] = _places(users[order])[0]
    held = np.maximum(1, np.floor((1 - known) * length + 0.5)).astype(np.int64)
    parts = part_of[users]
    parts[(parts != TRAIN) & (place < length - held)] = KNOWN
    return parts


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
