"""Chooses the evaluated users and the target items of a data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robench.api.data import IntArray, Interactions
from robench.api.errors import DataError
from robench.api.rng import Rng
from robench.engine.data.prepared import Prepared
from robench.spec import Part, TargetChoice, UserSample

# The most likely reasons why no user can be evaluated, by the name of the split.
REASONS = {
    "leave-last-out": "a user needs at least {needed} interactions that the filters keep; random-ratio needs two",
    "random-ratio": "a user needs enough interactions for a share of them to be held out",
    "global-time": "no user of the latest events has earlier ones: are the times right? leave-last-out splits per user",
    "files": "are the ids of the test users those of the training users, and are the test items new to them?",
    "cold-users": "a held-out user needs a known item that the filters keep",
}


def evaluated_users(data: Prepared, sample: UserSample | None) -> IntArray:
    """Returns the users on which victims are evaluated, or a sample of these users.

    An evaluated user has held-out items, and also training items or known items.

    Returns:
        The users, int64, sorted.
    """
    users = np.flatnonzero((data.test.lengths() > 0) & (data.given().lengths() > 0)).astype(np.int64)
    if sample is None or sample.sample >= len(users):
        return users
    drawn = Rng(sample.seed).child("users").numpy().choice(users, sample.sample, replace=False)
    return np.sort(drawn)


def no_users_error(split: Part) -> DataError:
    """Returns the error for data in which no user can be evaluated.

    The hint names the most likely reason for this split.
    """
    reason = REASONS.get(split.name, "").format(needed=2 * int(split.config.get("n", 1)) + 1)
    return DataError("no user has both a training and a test item", hint=reason)


def choose_targets(train: Interactions, choice: TargetChoice, ids: Sequence[str] = ()) -> list[IntArray]:
    """Draws disjoint sets of target items, or finds the listed items.

    The sets are the same for every seed, model and defence.

    Items are sorted by their training counts. If counts are equal, the row in the catalogue decides. ``unpopular``
    items come from the fifth of the catalogue with the lowest counts, and ``popular`` items from the fifth with the
    highest counts. ``lower-torso`` items come from the quarter just above the lower half. ``all`` items come from the
    whole catalogue. ``random`` is the earlier name of ``all``, and draws the same items.

    Args:
        train: the training items.
        choice: the number and the size of the sets, and the kind of items.
        ids: the id of each item in the source. Only listed items need the ids.

    Returns:
        The items of each set, int64, sorted.

    Raises:
        DataError: if the sets need more items of this kind than there are, or if a listed item is not in the data.
    """
    if choice.pick == "listed":
        return [_find_items(choice.items, ids)]
    by_count = np.argsort(train.counts(), kind="stable").astype(np.int64)
    fifth = max(1, train.n_items // 5)
    half, quarter = train.n_items // 2, train.n_items // 4
    pool = {
        "unpopular": by_count[:fifth],
        "popular": by_count[-fifth:],
        "lower-torso": by_count[half : train.n_items - quarter],
        "all": by_count,
        "random": by_count,
    }[choice.pick]
    count = choice.count * choice.sets
    if count > len(pool):
        raise DataError(f"{count} {choice.pick} items are requested as targets, but there are only {len(pool)}")
    role = "random" if choice.pick == "all" else choice.pick
    drawn = Rng(0).child("targets", role).numpy().permutation(np.sort(pool))[:count]
    return [np.sort(part) for part in np.split(drawn, choice.sets)]


def _find_items(wanted: Sequence[str], ids: Sequence[str]) -> IntArray:
    """Returns the rows of the items with the given ids, int64, sorted.

    Raises:
        DataError: if the data has no item with one of the ids.
    """
    rows = {name: row for row, name in enumerate(ids)}
    for name in wanted:
        if name not in rows:
            hint = "ids are those of the source; filters may have removed the item"
            raise DataError(f"targets.items: the data has no item {name!r}", hint=hint)
    return np.sort(np.array([rows[name] for name in wanted], dtype=np.int64))
