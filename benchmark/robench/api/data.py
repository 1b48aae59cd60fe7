"""Sparse interactions, the catalogue, and the data for fitting and testing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.errors import SealedError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
# With fewer validation items, differences are mostly noise. With 671 items, the standard error of NDCG@10 is 15% of
# the value.
ENOUGH_ITEMS = 5_000


def _frozen(array: NDArray[Any], dtype: type, name: str) -> NDArray[Any]:
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, not {array.ndim}")
    if array.dtype != np.dtype(dtype):
        raise TypeError(f"{name} must be {np.dtype(dtype)}, not {array.dtype}")
    if not array.flags.writeable:
        return array
    view = array.view()
    view.setflags(write=False)
    return view


@dataclass(frozen=True)
class Item:
    """The title, the year, the genres and the description of an item."""

    title: str = ""
    year: int | None = None
    genres: tuple[str, ...] = ()
    description: str = ""

    def facts(self) -> dict[str, Any]:
        """Returns the fields by name, except for an empty description."""
        facts = {"title": self.title, "year": self.year, "genres": self.genres}
        return facts | ({"description": self.description} if self.description else {})


@dataclass(frozen=True, eq=False)
class Interactions:
    """The items of every user in time order, as a sparse read-only matrix.

    Args:
        indptr: the start of each row, int64 [n_users + 1]. Row u is ``items[indptr[u]:indptr[u + 1]]``.
        items: the item of each interaction, in [0, n_items), int64 [n], sorted by user and then by time.
        times: the time of each interaction in the ticks of the source, or its position in the input, int64 [n].
        n_items: the number of items in the catalogue.

    Raises:
        TypeError: if an array has a wrong dtype.
        ValueError: if an array has a wrong shape, if ``indptr`` is inconsistent, or if an item is outside the
            catalogue.
    """

    indptr: IntArray
    items: IntArray
    times: IntArray
    n_items: int

    def __post_init__(self) -> None:
        """Checks shapes, dtypes and ranges, and makes the arrays read-only."""
        for name in ("indptr", "items", "times"):
            object.__setattr__(self, name, _frozen(getattr(self, name), np.int64, name))
        if len(self.indptr) == 0 or self.indptr[0] != 0 or self.indptr[-1] != len(self.items):
            raise ValueError("indptr must run from 0 to the number of interactions")
        if np.any(np.diff(self.indptr) < 0):
            raise ValueError("indptr must not decrease")
        if len(self.items) != len(self.times):
            raise ValueError(f"{len(self.items)} items but {len(self.times)} times")
        if len(self.items) and (self.items.min() < 0 or self.items.max() >= self.n_items):
            raise ValueError(f"item ids must lie in [0, {self.n_items})")

    @property
    def n_users(self) -> int:
        """The number of users."""
        return len(self.indptr) - 1

    def __len__(self) -> int:
        """Returns the number of interactions."""
        return len(self.items)

    def row(self, user: int) -> IntArray:
        """Returns the items of one user in time order, as a read-only int64 array."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    def lengths(self) -> IntArray:
        """Returns the number of items of every user: int64 [n_users]."""
        return np.diff(self.indptr)

    def users(self) -> IntArray:
        """Returns the user of every interaction: int64 [n]."""
        return np.repeat(np.arange(self.n_users, dtype=np.int64), self.lengths())

    def counts(self) -> IntArray:
        """Returns the number of times that each item occurs: int64 [n_items]."""
        return np.bincount(self.items, minlength=self.n_items).astype(np.int64)

    @cached_property
    def keys(self) -> IntArray:
        """The sorted keys of all interactions: int64 [n].

        The key of an interaction is user · n_items + item.
        """
        keys = self.users()
        keys *= self.n_items
        keys += self.items
        keys.sort()
        keys.setflags(write=False)
        return keys

    def sha256(self) -> str:
        """Returns the SHA-256 digest of the content, in hex digits."""
        digest = hashlib.sha256(str(self.n_items).encode())
        for array in (self.indptr, self.items, self.times):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def appended(self, rows: Iterable[Sequence[int] | IntArray]) -> Interactions:
        """Returns these interactions with the rows of new users at the end.

        The times of each new row start after the last existing time.

        Args:
            rows: the items of each new user, oldest first.
        """
        sequences = [np.asarray(row, dtype=np.int64) for row in rows]
        if not sequences:
            return self
        start = int(self.times.max(initial=0)) + 1
        ends = self.indptr[-1] + np.cumsum([len(row) for row in sequences], dtype=np.int64)
        times = np.concatenate([np.arange(start, start + len(row), dtype=np.int64) for row in sequences])
        return Interactions(
            np.concatenate([self.indptr, ends]),
            np.concatenate([self.items, *sequences]),
            np.concatenate([self.times, times]),
            self.n_items,
        )

    def only(self, kept: NDArray[np.bool_]) -> Interactions:
        """Returns some of these interactions, with all users.

        Args:
            kept: whether to keep each interaction, bool [n].
        """
        ends = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
        return Interactions(ends[self.indptr], self.items[kept], self.times[kept], self.n_items)

    def rows_in(self, order: IntArray) -> Interactions:
        """Returns the rows of some or all users, in any order.

        Args:
            order: the user whose row comes at each place, int64 [n]. No user may occur twice.
        """
        if np.array_equal(order, np.arange(self.n_users)):
            return self
        lengths = self.lengths()[order]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.arange(indptr[-1], dtype=np.int64) + np.repeat(self.indptr[order] - indptr[:-1], lengths)
        return Interactions(indptr, self.items[places], self.times[places], self.n_items)

    def without_users(self, dropped: NDArray[np.bool_]) -> Interactions:
        """Returns these interactions with the rows of some users emptied.

        Args:
            dropped: whether to empty the row of each user, bool [n_users].
        """
        return self.only(~np.repeat(dropped, self.lengths()))

    @staticmethod
    def from_rows(rows: Iterable[Sequence[int] | IntArray], n_items: int) -> Interactions:
        """Builds interactions from one sequence of items per user, oldest first.

        The time of an item is its position in the sequence.
        """
        empty = np.empty(0, dtype=np.int64)
        sequences = [np.asarray(row, dtype=np.int64) for row in rows]
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in sequences])]).astype(np.int64)
        times = np.concatenate([empty, *(np.arange(len(row), dtype=np.int64) for row in sequences)])
        return Interactions(indptr, np.concatenate([empty, *sequences]), times, n_items)


def joined(first: Interactions, second: Interactions) -> Interactions:
    """Returns each user's items in ``first``, followed by those in ``second``.

    The history at test time is joined from training and validation items in this way. If ``first`` has more rows than
    ``second``, the extra rows (fake users) are dropped.
    """
    lengths = first.lengths()[: second.n_users] + second.lengths()
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    items = np.empty(int(indptr[-1]), dtype=np.int64)
    times = np.empty_like(items)
    for part, offset in (
        (first, np.zeros(second.n_users, dtype=np.int64)),
        (second, first.lengths()[: second.n_users]),
    ):
        n = int(part.indptr[second.n_users])
        users = part.users()[:n]
        place = indptr[users] + offset[users] + (np.arange(n) - part.indptr[users])
        items[place] = part.items[:n]
        times[place] = part.times[:n]
    return Interactions(indptr, items, times, first.n_items)


@dataclass(frozen=True)
class Catalogue:
    """The ids and descriptions of all items in a data set, by row number.

    Args:
        ids: the id of each item in the source.
        items: the description of each item.
        vectors: the vector of each item, for example of its picture, float32 [n_items, d], or None if the data set has
            no vectors. An item without a vector has a row of zeros.
    """

    ids: tuple[str, ...]
    items: tuple[Item, ...]
    vectors: NDArray[np.float32] | None = field(default=None, compare=False)

    def title(self, item: int) -> str:
        """Returns the title of an item, or its id if it has no title."""
        return self.items[item].title or self.ids[item]


@dataclass(frozen=True, eq=False)
class TrainData:
    """The data that a fit may see, without the held-out test items.

    Args:
        train: the training items, with one row per real user followed by one row per fake user.
        validation: the validation items, with one row per real user. These items are used to select weights, but never
            enter the loss.
        catalogue: the ids and descriptions of all items.
        profiles: a description of each real user, or an empty tuple if the data set has no profiles.
        known: the known items of the cold users for validation, with one row per real user. These items serve as
            histories when weights are selected, and never enter the loss. None means that there are no cold users.
        gram: the private item-item matrix of a defence, float64 [n_items, n_items], or None. If there is one, the rows
            in ``train`` are empty, and a model learns from this matrix instead. Only a model with ``learns_gram`` gets
            one.
    """

    train: Interactions
    validation: Interactions
    catalogue: Catalogue
    profiles: tuple[str, ...] = ()
    known: Interactions | None = None
    gram: FloatArray | None = None

    @property
    def n_users(self) -> int:
        """The number of users, including fake users."""
        return self.train.n_users

    @property
    def n_real_users(self) -> int:
        """The number of real users. Their rows come before those of fake users."""
        return self.validation.n_users

    @property
    def n_items(self) -> int:
        """The number of items in the catalogue."""
        return self.train.n_items


def has_enough_items(data: TrainData) -> bool:
    """Returns whether there are at least 5,000 validation items.

    With fewer items, small differences between validation values are mostly due to chance.
    """
    return len(data.validation.items) >= ENOUGH_ITEMS


class HeldOut:
    """The test items of one victim, which are sealed until the victim is fitted."""

    def __init__(self, items: Interactions) -> None:
        self._items = items
        self._sealed = True

    def release(self) -> None:
        """Breaks the seal, so that ``read`` returns the items.

        The host calls this method when poisoning, fit and selection have ended.
        """
        self._sealed = False

    def read(self) -> Interactions:
        """Returns the held-out items, one row per real user.

        Raises:
            SealedError: if the seal has not been broken.
        """
        if self._sealed:
            raise SealedError("a held-out item was read before the victim's fit had ended")
        return self._items
