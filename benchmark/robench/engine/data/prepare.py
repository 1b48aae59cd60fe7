"""Prepares a data set: filters and splits a raw log, and seals the test items."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.data import Catalogue, DatasetConfig, HeldOut, IntArray, Interactions, Item, Ratings, TrainData
from robench.api.errors import DataError
from robench.engine.data.splits import TEST, TRAIN, VALIDATION, parts_of
from robench.spec import Part


@dataclass(frozen=True, eq=False)
class Prepared:
    """A data set after filtering and splitting.

    Every ``Interactions`` has one row per user.

    Args:
        train: the training items.
        validation: the validation items.
        test: the test items.
        catalogue: the items.
        user_ids: the ids of the users in the source.
        timed: whether the source has times. Otherwise the order of rows in the source counts as time.
        profiles: a description of each user. The tuple is empty if the source has no profiles.
    """

    train: Interactions
    validation: Interactions
    test: Interactions
    catalogue: Catalogue
    user_ids: tuple[str, ...]
    timed: bool = True
    profiles: tuple[str, ...] = ()

    def train_data(self) -> TrainData:
        """Returns the data that a fit may see."""
        return TrainData(self.train, self.validation, self.catalogue, self.profiles)

    def held_out(self) -> HeldOut:
        """Returns the test items under a fresh seal."""
        return HeldOut(self.test)

    def sha256(self) -> str:
        """Returns a digest of the interactions, ids and texts."""
        facts: list[Any] = [self.user_ids, self.catalogue.ids, [item.facts() for item in self.catalogue.items]]
        texts = json.dumps(facts + ([self.profiles] if self.profiles else []))
        parts = [part.sha256() for part in (self.train, self.validation, self.test)]
        return hashlib.sha256("".join([*parts, texts]).encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Writes the data as an npz file without pickles."""
        path.write_bytes(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Returns the data as an npz file without pickles."""
        texts = {
            "user_ids": self.user_ids,
            "item_ids": self.catalogue.ids,
            "items": [item.facts() for item in self.catalogue.items],
            "timed": self.timed,
            "profiles": self.profiles,
        }
        arrays: dict[str, NDArray[Any]] = {"texts": np.frombuffer(json.dumps(texts).encode(), dtype=np.uint8)}
        for name in ("train", "validation", "test"):
            part: Interactions = getattr(self, name)
            arrays |= {f"{name}_indptr": part.indptr, f"{name}_items": part.items, f"{name}_times": part.times}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @staticmethod
    def load(path: Path) -> Prepared:
        """Reads data from a file that ``save`` has written."""
        return Prepared.from_bytes(path.read_bytes())

    @staticmethod
    def from_bytes(content: bytes) -> Prepared:
        """Reads data from the bytes that ``to_bytes`` has returned."""
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            texts = json.loads(file["texts"].tobytes())
            n_items = len(texts["item_ids"])
            train, validation, test = (
                Interactions(file[f"{name}_indptr"], file[f"{name}_items"], file[f"{name}_times"], n_items)
                for name in ("train", "validation", "test")
            )
        items = tuple(Item(i["title"], i["year"], tuple(i["genres"]), i.get("description", "")) for i in texts["items"])
        catalogue = Catalogue(tuple(texts["item_ids"]), items)
        profiles = tuple(texts.get("profiles", ()))
        return Prepared(train, validation, test, catalogue, tuple(texts["user_ids"]), bool(texts["timed"]), profiles)


def prepare(ratings: Ratings, config: DatasetConfig, split: Part) -> Prepared:
    """Filters a raw log, numbers its users and items, and splits it.

    Ratings below the minimum are dropped first. Of several rows with the same user and item, only the first in input
    order is kept. Users and items with too few interactions are then dropped until nothing changes (k-core).

    Users and items are numbered in the order of their ids. If all ids are whole numbers, they are ordered by value.
    Otherwise, ids are ordered as strings. Therefore row numbers do not depend on the order of the file.

    Args:
        ratings: the raw log.
        config: the filters.
        split: the name and the settings of the split.

    Raises:
        DataError: if the log is empty or inconsistent, or if nothing is left after the filters.
    """
    times = _check_columns(ratings)
    keep = np.arange(len(ratings.users))
    if config.min_rating is not None:
        if ratings.ratings is None:
            raise DataError("min_rating is set, and this data set has no ratings")
        keep = keep[ratings.ratings[keep] >= config.min_rating]
    user_ids, users = _number(ratings.users)
    item_ids, items = _number(ratings.items)
    _, first = np.unique(users[keep] * len(item_ids) + items[keep], return_index=True)
    keep = keep[np.sort(first)]
    keep = k_core(users, items, keep, config.min_user_interactions, config.min_item_interactions)
    if not len(keep):
        raise DataError(
            f"nothing is left of {len(users)} rows after the filters (min_rating {config.min_rating}, at least "
            f"{config.min_user_interactions} per user, {config.min_item_interactions} per item)"
        )
    user_numbers, users = np.unique(users[keep], return_inverse=True)
    item_numbers, items = np.unique(items[keep], return_inverse=True)
    times = times[keep]
    order = np.lexsort((np.arange(len(keep)), times, users))
    users, items, times = users[order].astype(np.int64), items[order].astype(np.int64), times[order]
    part = parts_of(split, users, times, timed=ratings.times is not None)
    train, validation, test = (
        _rows(users, items, times, part == p, len(user_numbers), len(item_numbers)) for p in (TRAIN, VALIDATION, TEST)
    )
    names = tuple(str(item_ids[i]) for i in item_numbers)
    catalogue = Catalogue(names, tuple(ratings.catalogue.get(name, Item()) for name in names))
    names = tuple(str(user_ids[u]) for u in user_numbers)
    profiles = tuple(ratings.profiles.get(name, "") for name in names)
    return Prepared(
        train, validation, test, catalogue, names, ratings.times is not None, profiles if any(profiles) else ()
    )


def _check_columns(ratings: Ratings) -> IntArray:
    """Checks the columns of a log, and returns the times or the input positions."""
    n = len(ratings.users)
    if n == 0:
        raise DataError("the data set has no rows")
    for name in ("items", "times", "ratings"):
        column = getattr(ratings, name)
        if column is not None and len(column) != n:
            raise DataError(f"{n} users but {len(column)} {name}")
    if ratings.ratings is not None and not np.isfinite(ratings.ratings).all():
        raise DataError(
            f"the rating of row {int(np.flatnonzero(~np.isfinite(ratings.ratings))[0]) + 1} is not a number"
        )
    if ratings.times is None:
        return np.arange(n, dtype=np.int64)
    if ratings.times.min() < 0:
        raise DataError(f"the time of row {int(np.flatnonzero(ratings.times < 0)[0]) + 1} is negative")
    return np.asarray(ratings.times, dtype=np.int64)


def _number(ids: NDArray[Any]) -> tuple[NDArray[Any], IntArray]:
    """Returns the distinct ids in order, and the index of each row's id, int64 [n]."""
    values = ids
    if values.dtype.kind not in "iu":
        values = values.astype(str)
        lengths = np.char.str_len(values)
        plain = np.char.isdigit(values) & (lengths <= 18) & ~(np.char.startswith(values, "0") & (lengths > 1))
        if plain.all():
            values = values.astype(np.int64)
    names, place = np.unique(values, return_inverse=True)
    return names, place.astype(np.int64)


def k_core(users: IntArray, items: IntArray, keep: IntArray, per_user: int, per_item: int) -> IntArray:
    """Returns the largest subset with enough rows for each user and each item.

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
