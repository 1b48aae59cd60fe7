"""Filters a raw log, numbers its users and items, and splits the events."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robench.api.data import Catalogue, IntArray, Interactions, Item
from robench.api.dataset import DatasetConfig, Ratings
from robench.api.errors import DataError
from robench.engine.data.ids import number_ids
from robench.engine.data.prepared import Prepared
from robench.engine.data.splits import TEST, TRAIN, VALIDATION, parts_of
from robench.engine.data.summary import Log, summarise
from robench.spec import Part


def prepare(ratings: Ratings, config: DatasetConfig, split: Part) -> Prepared:
    """Filters a raw log, numbers its users and items, and splits it.

    Ratings below the minimum are dropped first. Of several rows with the same user and item, the earliest is kept, or
    what ``repeats`` says. Users and items with too few interactions are then dropped until nothing changes (k-core).

    Users and items are numbered in the order of their ids. Ids are ordered by value if all of them are whole numbers,
    and otherwise as text. The events of a user are in time order. Events at the same time are in the order of their
    items' ids. Therefore nothing depends on the order of the rows, unless the source has no times.

    Args:
        ratings: the raw log.
        config: the filters.
        split: the name and the settings of the split.

    Raises:
        DataError: if the log is empty or inconsistent, or if nothing is left after the filters.
    """
    _check_columns(ratings)
    rows = _rated(ratings, config.min_rating)
    low_ratings = len(ratings.users) - len(rows)
    user_ids, users = number_ids(ratings.users)
    item_ids, items = number_ids(ratings.items)
    rows = rows[_time_order(users[rows], items[rows], None if ratings.times is None else ratings.times[rows])]
    once = _without_repeats(users[rows] * len(item_ids) + items[rows], config.repeats)
    repeats = len(rows) - len(once)
    rows = rows if config.repeats == "all" else rows[once]
    kept = k_core(users, items, rows, config.min_user_interactions, config.min_item_interactions)
    if not len(kept):
        raise DataError(
            f"nothing is left of {len(users)} rows after the filters (min_rating {config.min_rating}, at least "
            f"{config.min_user_interactions} per user, {config.min_item_interactions} per item)"
        )
    user_numbers, users = _renumber(users[kept], len(user_ids))
    item_numbers, items = _renumber(items[kept], len(item_ids))
    times = kept.astype(np.int64) if ratings.times is None else np.asarray(ratings.times[kept], dtype=np.int64)
    part = parts_of(split, users, times, timed=ratings.times is not None)
    train, validation, test = (
        _rows(users, items, times, part == p, len(user_numbers), len(item_numbers)) for p in (TRAIN, VALIDATION, TEST)
    )
    names = [item_ids[i] for i in item_numbers.tolist()]
    catalogue = Catalogue(tuple(names), tuple(_tidy(ratings.catalogue.get(name)) for name in names))
    names = [user_ids[u] for u in user_numbers.tolist()]
    profiles = tuple(" ".join(ratings.profiles.get(name, "").split()) for name in names)
    log = Log(ratings, user_ids, item_ids, low_ratings, repeats, len(rows))
    return Prepared(
        train,
        validation,
        test,
        catalogue,
        tuple(names),
        ratings.times is not None,
        profiles if any(profiles) else (),
        summarise(log, config, train, validation, test, catalogue, profiles),
    )


def _check_columns(ratings: Ratings) -> None:
    """Refuses a log that is empty or inconsistent, or whose ratings are not numbers."""
    n = len(ratings.users)
    if n == 0:
        raise DataError("the data set has no rows")
    for name in ("items", "times", "ratings", "parts"):
        column = getattr(ratings, name)
        if column is not None and len(column) != n:
            raise DataError(f"{n} users but {len(column)} {name}")
    if ratings.ratings is not None and not np.isfinite(ratings.ratings).all():
        raise DataError(
            f"the rating of row {int(np.flatnonzero(~np.isfinite(ratings.ratings))[0]) + 1} is not a number"
        )
    if ratings.times is not None and np.asarray(ratings.times).dtype.kind not in "iu":
        raise DataError(f"times must be whole numbers of ticks, not {np.asarray(ratings.times).dtype}")


def _rated(ratings: Ratings, lowest: float | None) -> IntArray:
    """Returns the rows whose rating is high enough, int64."""
    if lowest is None:
        return np.arange(len(ratings.users), dtype=np.int64)
    if ratings.ratings is None:
        raise DataError("min_rating is set, and this data set has no ratings")
    return np.flatnonzero(ratings.ratings >= lowest).astype(np.int64)


def _time_order(users: IntArray, items: IntArray, times: IntArray | None) -> IntArray:
    """Returns the order of rows by user and time.

    Without times, the rows of a user keep their order.
    """
    return np.argsort(users, kind="stable") if times is None else np.lexsort((items, times, users))


def _without_repeats(pairs: IntArray, keep: str) -> IntArray:
    """Returns the place of one row per user-item pair, sorted.

    Args:
        pairs: the number of each row's pair, int64 [n], in time order within a user.
        keep: ``last`` for the latest row of a pair, anything else for the earliest.
    """
    if keep == "last":
        return np.sort(len(pairs) - 1 - np.unique(pairs[::-1], return_index=True)[1])
    return np.sort(np.unique(pairs, return_index=True)[1])


def _renumber(codes: IntArray, n: int) -> tuple[IntArray, IntArray]:
    """Returns the codes below ``n`` that occur, and each row's position among them.

    The codes are sorted, int64.
    """
    present = np.zeros(n, dtype=bool)
    present[codes] = True
    return np.flatnonzero(present).astype(np.int64), (np.cumsum(present) - 1)[codes]


def _tidy(item: Item | None) -> Item:
    """Returns an item whose texts have single blanks as their only white space."""
    if item is None:
        return Item()
    genres = tuple(" ".join(genre.split()) for genre in item.genres)
    return Item(" ".join(item.title.split()), item.year, genres, " ".join(item.description.split()))


def k_core(users: IntArray, items: IntArray, keep: IntArray, per_user: int, per_item: int) -> IntArray:
    """Returns the largest subset with enough rows of each user and each item.

    Args:
        users: the user of each row, int64 [n].
        items: the item of each row, int64 [n].
        keep: the rows to choose from, int64 [m].
        per_user: the smallest number of rows per user.
        per_item: the smallest number of rows per item.
    """
    while True:
        enough = np.bincount(items[keep], minlength=1)[items[keep]] >= per_item
        subset = keep[enough]
        subset = subset[np.bincount(users[subset], minlength=1)[users[subset]] >= per_user]
        if len(subset) == len(keep):
            return keep
        keep = subset


def _rows(
    users: IntArray, items: IntArray, times: IntArray, chosen: NDArray[np.bool_], n_users: int, n_items: int
) -> Interactions:
    counts = np.bincount(users[chosen], minlength=n_users)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Interactions(indptr, items[chosen], times[chosen], n_items)
