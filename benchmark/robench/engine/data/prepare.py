"""Filters a raw log, numbers its users and items, and splits the events."""

from __future__ import annotations

import numpy as np

from robench.api.data import Catalogue, IntArray, Interactions, Item
from robench.api.dataset import DatasetConfig, Ratings
from robench.api.errors import DataError
from robench.engine.data.columns import check_columns
from robench.engine.data.events import (
    Events,
    k_core,
    new_if_held_out,
    once_per_pair,
    pairs_of,
    pieces,
    sort_events,
    sort_once,
)
from robench.engine.data.ids import number_ids
from robench.engine.data.own_split import check_own_split, describe_cold, describe_own_split, once_in_earliest_part
from robench.engine.data.prepared import Prepared
from robench.engine.data.splits import KNOWN, TEST, TRAIN, VALIDATION, parts_of
from robench.engine.data.summary import Log, find_facts, nothing_left, summarise
from robench.engine.data.vectors import match_vectors
from robench.spec import Part

UNDESCRIBED = Item()


def prepare(ratings: Ratings, config: DatasetConfig, split: Part) -> Prepared:
    """Filters a raw log, numbers the users and items, and splits the events.

    First, ratings below the minimum are dropped. Then the setting ``repeats`` decides which events of a repeated
    user-item pair are kept. Finally, users with too few distinct items and items with too few distinct users are
    dropped until nothing changes (k-core).

    With ``repeats: all``, a held-out event is dropped if the user already has the item in an earlier part, or earlier
    in the same part. Known items are never ranked, so such an event cannot be evaluated.

    Users and items are numbered in the order in which ``number_ids`` sorts their ids. The events of a user are in time
    order. Events at the same time are in the order of their item ids. Therefore, nothing depends on the order of the
    rows, unless the source has no times.

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
    events = events if rows is None else events.chosen(rows)
    total = len(events)
    events, pairs, notes = _sorted(events, len(user_ids), len(item_ids), config.repeats)
    repeats = total - len(pairs)
    repeated = len(events) > len(pairs)
    rated = len(events)
    kept = k_core(pairs.users, pairs.items, config.min_user_interactions, config.min_item_interactions)
    if not kept.any():
        raise nothing_left(ratings, config, pairs)
    if repeated:
        kept = pairs_of(events, pairs.chosen(kept))
    if not kept.all():
        events = events.reduced(kept)
    del pairs, kept
    user_numbers = _renumber(events.users, len(user_ids))
    item_numbers = _renumber(events.items, len(item_ids))
    part = events.parts
    if part is None:
        part = parts_of(split, events.users, events.items, events.times, timed=ratings.times is not None)
    dropped = 0
    if repeated:
        new = new_if_held_out(events, part)
        dropped = len(events) - int(new.sum())
        events, part = events.chosen(new), part[new]
    facts, sizes = find_facts(events, ratings), (len(user_numbers), len(item_numbers))
    validation, test, known = (_rows(events.chosen(part == p), *sizes) for p in (VALIDATION, TEST, KNOWN))
    train = _rows(events.reduced(part == TRAIN), *sizes)
    del events
    cold = split.name == "cold-users"
    names = [item_ids[i] for i in item_numbers.tolist()]
    catalogue = Catalogue(tuple(names), tuple(_tidy(ratings.catalogue.get(name)) for name in names))
    names = [user_ids[u] for u in user_numbers.tolist()]
    profiles = tuple(" ".join(ratings.profiles.get(name, "").split()) for name in names) if ratings.profiles else ()
    notes += describe_own_split(train, validation, test) if own else describe_cold(validation, test) if cold else []
    log = Log(ratings, user_ids, item_ids, low_ratings, repeats, rated, tuple(notes), dropped)
    prepared = Prepared(
        train,
        validation,
        test,
        catalogue,
        tuple(names),
        ratings.times is not None,
        profiles if any(profiles) else (),
        summarise(log, config, facts, (train, validation, test, known), catalogue, profiles),
        known if cold else None,
    )
    return prepared if ratings.vectors is None else match_vectors(prepared, ratings.vectors)


def _sorted(events: Events, n_users: int, n_items: int, keep: str) -> tuple[Events, Events, list[str]]:
    """Returns two sorted sets of events, and lines about overlaps of the parts.

    The first set has repeated user-item pairs only if ``keep`` is ``all``. The second set has one event per pair.
    """
    if events.parts is None and keep != "all":
        pairs = sort_once(events, n_users, n_items, keep)
        return pairs, pairs, []
    events = sort_events(events, n_users, n_items)
    notes: list[str] = []
    if events.parts is None:
        once = once_per_pair(events, n_items, keep)
    else:
        once, notes = once_in_earliest_part(events, keep)
    pairs = events if once.all() else events.chosen(once)
    return events if keep == "all" else pairs, pairs, notes


def _rated(ratings: Ratings, lowest: float | None) -> IntArray | None:
    """Returns the indices of the rows with a rating of at least ``lowest``, int64.

    The result is None if ``lowest`` is None. All rows are then kept.

    Raises:
        DataError: if ``lowest`` is given and the log has no ratings.
    """
    if lowest is None:
        return None
    if ratings.ratings is None:
        raise DataError("min_rating is set, and this data set has no ratings")
    return np.flatnonzero(ratings.ratings >= lowest).astype(np.int64)


def _renumber(codes: IntArray, n: int) -> IntArray:
    """Replaces the code of each row with its index in the sorted distinct codes.

    Args:
        codes: the code of each row, int64, from 0 to n − 1. The array is changed in place.
        n: the number of possible codes.

    Returns:
        The sorted distinct codes, int64.
    """
    present = np.zeros(n, dtype=bool)
    present[codes] = True
    if not present.all():
        indices = np.cumsum(present) - 1
        for piece in pieces(len(codes)):
            codes[piece] = indices[codes[piece]]
    return np.flatnonzero(present).astype(np.int64)


def _tidy(item: Item | None) -> Item:
    """Returns an item with single spaces between the words of its texts.

    If ``item`` is None, the result is an item without texts.
    """
    if item is None:
        return UNDESCRIBED
    genres = tuple(" ".join(genre.split()) for genre in item.genres)
    return Item(" ".join(item.title.split()), item.year, genres, " ".join(item.description.split()))


def _rows(events: Events, n_users: int, n_items: int) -> Interactions:
    counts = np.bincount(events.users, minlength=n_users)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Interactions(indptr, events.items, events.times, n_items)
