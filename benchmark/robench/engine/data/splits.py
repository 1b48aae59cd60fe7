"""Splits events into training, validation, test and known events."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robench.api.data import IntArray
from robench.api.errors import DataError
from robench.api.rng import Rng
from robench.spec import Part

TRAIN, VALIDATION, TEST, KNOWN = 0, 1, 2, 3
FEWEST_OF_COLD = 5  # the fewest distinct items of a cold user, as in Liang et al. (WWW 2018)
PartArray = NDArray[np.int8]


def parts_of(split: Part, users: IntArray, items: IntArray, times: IntArray, *, timed: bool) -> PartArray:
    """Returns the part of every event, int8 [n].

    The parts are 0 for training, 1 for validation, 2 for test, and 3 for the known items of cold users.

    Args:
        split: the name and the settings of the split.
        users: the user of each event, int64 [n], sorted. The events of a user are in time order, and events at the same
            time are in the order of their items.
        items: the item of each event, int64 [n].
        times: the time of each event, int64 [n].
        timed: whether the source has times.

    Raises:
        DataError: if the split is ``global-time`` and the source has no times, or if the split leaves nothing to train
            on or nothing to test on.
        ValueError: if the name of the split is unknown.
    """
    if split.name == "leave-last-out":
        return leave_last_out(users, int(split.config.get("n", 1)))
    if split.name == "random-ratio":
        return random_ratio(users, tuple(split.config["ratios"]), Rng(int(split.config["seed"])).child("split"))
    if split.name == "cold-users":
        return cold_users(
            users,
            items,
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
    """Returns each event's position in the user's row, and the length of this row."""
    counts = np.bincount(users)
    starts = np.cumsum(counts) - counts
    return np.arange(len(users), dtype=np.int64) - starts[users], counts[users].astype(np.int64)


def leave_last_out(users: IntArray, n: int = 1) -> PartArray:
    """Assigns each user's last n events to the test, and n events to validation.

    The events for validation come just before the events for the test. If a user has fewer than 2n + 1 events, all of
    these events are for training.
    """
    counts = np.bincount(users)
    ends = np.cumsum(counts)[counts > 2 * n]
    parts = np.full(len(users), TRAIN, dtype=np.int8)
    for back in range(1, n + 1):
        parts[ends - n - back], parts[ends - back] = VALIDATION, TEST
    return parts


def random_ratio(users: IntArray, ratios: tuple[float, ...], rng: Rng) -> PartArray:
    """Divides the events of each user into random parts, according to three ratios.

    The ratios are in the order training, validation, test. Let v and t be the ratios for validation and test, divided
    by the sum of all three. A user with n events has round(n · t) test events and round(n · v) validation events. These
    numbers are reduced if no event would stay in training.
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


def cold_users(
    users: IntArray, items: IntArray, validation: float, test: float, known: float, by_time: bool, rng: Rng
) -> PartArray:
    """Draws cold users without training events, and holds out some of their events.

    The other events of a cold user are known. At test time, models score the user from these events.

    This is the protocol of Liang et al. (WWW 2018). Let u be the number of users with at least 5 distinct items. From
    these users, the function draws round(validation · u) cold users for validation and round(test · u) cold users for
    the test. All events of other users are for training. A cold user with m events has round((1 − known) · m) held-out
    events, but at least one.

    Args:
        users: the user of each event, int64 [n], sorted.
        items: the item of each event, int64 [n].
        validation: the share of the u users to validate on.
        test: the share of the u users to test on.
        known: the share of a cold user's events that is known.
        by_time: whether the last events of a cold user are held out. Otherwise, random events are held out.
        rng: the random stream of the split.

    Raises:
        DataError: if the shares leave none of the u users for the test, or none for training.
    """
    place, length = _places(users)
    able = np.flatnonzero(np.bincount(_users_of_pairs(users, items)) >= FEWEST_OF_COLD)
    drawn = rng.child("users").numpy().permutation(able)
    tested, validated = int(test * len(able) + 0.5), int(validation * len(able) + 0.5)
    if not tested or tested + validated >= len(able):
        problem = f"{len(able)} users have at least {FEWEST_OF_COLD} items: too few to hold some of them out"
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


def _users_of_pairs(users: IntArray, items: IntArray) -> IntArray:
    """Returns the user of each distinct user-item pair, int64."""
    size = int(items.max()) + 1
    return np.unique(users * size + items) // size


def global_time(times: IntArray, validation: float, test: float) -> PartArray:
    """Holds out the latest events of the whole log.

    The latest events are for the test, and the events just before them are for validation. Events at the same time
    always belong to the same part.

    Args:
        times: the time of each event, int64 [n].
        validation: the share of events for validation.
        test: the share of events for the test.

    Raises:
        DataError: if the shares leave nothing to train on.
    """
    if validation + test >= 1:
        raise DataError("the shares of validation and test leave nothing to train on")
    late = np.quantile(times, 1 - test, method="higher")
    middle = np.quantile(times, 1 - test - validation, method="higher")
    return np.where(times > late, TEST, np.where(times > middle, VALIDATION, TRAIN)).astype(np.int8)
