"""Filters a raw log, numbers its users and items, and splits the events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robench.api.data import Catalogue, IntArray, Interactions, Item
from robench.api.dataset import DatasetConfig, Ratings
from robench.api.errors import DataError
from robench.engine.data.columns import check_columns
from robench.engine.data.events import Events, k_core, new_if_held_out, once_per_pair, pairs_of, sort_events
from robench.engine.data.ids import number_ids
from robench.engine.data.own_split import check_own_split, describe_cold, describe_own_split, once_in_earliest_part
from robench.engine.data.prepared import Prepared
from robench.engine.data.splits import KNOWN, TEST, TRAIN, VALIDATION, parts_of
from robench.engine.data.summary import Log, nothing_left, summarise
from robench.spec import Part


def prepare(ratings: Ratings, config: DatasetConfig, split: Part) -> Prepared:
    """Filters a raw log, numbers the users and items, and splits the events.

    First, ratings below the minimum are dropped. Then the setting ``repeats`` decides which events of a repeated
    user-item pair are kept. Finally, users with too few distinct items and items with too few distinct users are
    dropped until nothing changes (k-core).

    With ``repeats: all``, a held-out event is dropped if the user already has the item in an earlier part, or earlier
    in the same part. Known items are never ranked, so such an event cannot be evaluated.

    Users and items are numbered in the order of their ids. If all ids are whole numbers, the order is by value.
    Otherwise, the ids are ordered as strings. The events of a user are in time order. Events at the same time are in
    the order of the ids of their items. Therefore, nothing depends on the order of the rows, unless the source has no
    times.

    Args:
        ratings: the raw log.
        config: the filters.
        split: the name and the settings of the split.

    Raises:
        DataError: if the log is empty or inconsistent, if the log does not fit the filters or the split, or if nothing
            is left after the filters.
    """
    check_columns(ratings)
    own = split.name == "files"
    if own:
        check_own_split(ratings, config)
    rows = _rated(ratings, config.min_rating)
    low_ratings = 0 if rows is None else len(ratings.users) - len(rows)
    user_ids, users = number_ids(ratings.users)
    item_ids, items = number_ids(ratings.items)
    times = np.arange(len(users)) if ratings.times is None else np.asarray(ratings.times, dtype=np.int64)
    events = Events(users, items, times, ratings.parts if own else None)
    del users, items, times
    events = sort_events(events if rows is None else events.chosen(rows), len(user_ids), len(item_ids))
    notes: list[str] = []
    if own:
        once, notes = once_in_earliest_part(events, config.repeats)
    else:
        once = once_per_pair(events, len(item_ids), config.repeats)
    repeats = len(events) - int(once.sum())
    if repeats and config.repeats != "all":
        events = events.chosen(once)
    rated = len(events)
    repeated = bool(repeats) and config.repeats == "all"
    pairs = events.chosen(once) if repeated else events
    kept = k_core(pairs.users, pairs.items, config.min_user_interactions, config.min_item_interactions)
    if not kept.any():
        raise nothing_left(ratings, config, pairs)
    if repeated:
        kept = pairs_of(events, pairs.chosen(kept))
    if not kept.all():
        events = events.chosen(kept)
    user_numbers, users = _renumber(events.users, len(user_ids))
    item_numbers, items = _renumber(events.items, len(item_ids))
    events = replace(events, users=users, items=items)
    part = events.parts
    if part is None:
        part = parts_of(split, events.users, events.items, events.times, timed=ratings.times is not None)
    dropped = 0
    if repeated:
        new = new_if_held_out(events, part)
        dropped = len(events) - int(new.sum())
        events, part = events.chosen(new), part[new]
    train, validation, test, known = (
        _rows(events.chosen(part == p), len(user_numbers), len(item_numbers)) for p in (TRAIN, VALIDATION, TEST, KNOWN)
    )
    cold = split.name == "cold-users"
    names = [item_ids[i] for i in item_numbers.tolist()]
    catalogue = Catalogue(tuple(names), tuple(_tidy(ratings.catalogue.get(name)) for name in names))
    names = [user_ids[u] for u in user_numbers.tolist()]
    profiles = tuple(" ".join(ratings.profiles.get(name, "").split()) for name in names)
    notes += describe_own_split(train, validation, test) if own else describe_cold(validation, test) if cold else []
    log = Log(ratings, user_ids, item_ids, low_ratings, repeats, rated, tuple(notes), dropped)
    return Prepared(
        train,
        validation,
        test,
        catalogue,
        tuple(names),
        ratings.times is not None,
        profiles if any(profiles) else (),
        summarise(log, config, events, (train, validation, test, known), catalogue, profiles),
        known if cold else None,
    )


def _rated(ratings: Ratings, lowest: float | None) -> IntArray | None:
    """Returns the numbers of the rows with a rating of at least ``lowest``, int64.

    The result is None if ``lowest`` is None. All rows are then kept.

    Raises:
        DataError: if ``lowest`` is given and the log has no ratings.
    """
    if lowest is None:
        return None
    if ratings.ratings is None:
        raise DataError("min_rating is set, and this data set has no ratings")
    return np.flatnonzero(ratings.ratings >= lowest).astype(np.int64)


def _renumber(codes: IntArray, n: int) -> tuple[IntArray, IntArray]:
    """Returns the sorted distinct codes, and the index of each row's code in them.

    Args:
        codes: the code of each row, int64, from 0 to n − 1.
        n: the number of possible codes.
    """
    present = np.zeros(n, dtype=bool)
    present[codes] = True
    return np.flatnonzero(present).astype(np.int64), (np.cumsum(present) - 1)[codes]


def _tidy(item: Item | None) -> Item:
    """Returns an item with single blanks in place of all white space in the texts."""
    if item is None:
        return Item()
    genres = tuple(" ".join(genre.split()) for genre in item.genres)
    return Item(" ".join(item.title.split()), item.year, genres, " ".join(item.description.split()))


def _rows(events: Events, n_users: int, n_items: int) -> Interactions:
    counts = np.bincount(events.users, minlength=n_users)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Interactions(indptr, events.items, events.times, n_items)
