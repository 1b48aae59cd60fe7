"""Data types: raw logs, sparse interactions, the catalogue, and what a fit may see."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robench.api.component import BaseConfig, Component
from robench.api.errors import SealedError

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


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
    """What is known about an item besides who used it."""

    title: str = ""
    year: int | None = None
    genres: tuple[str, ...] = ()
    description: str = ""

    def facts(self) -> dict[str, Any]:
        """As plain fields; without a description where there is none."""
        found = {"title": self.title, "year": self.year, "genres": self.genres}
        return found | ({"description": self.description} if self.description else {})


@dataclass(frozen=True, eq=False)
class Ratings:
    """A raw log as a data set gives it: one row per event, in input order, ids as the source names them.

    Args:
        users: [n] user ids, any hashable type.
        items: [n] item ids.
        times: [n] int64 seconds, or None where the source has no time (input order then counts as time).
        ratings: [n] float64, or None.
        catalogue: item id (as string) to what is known of it.
        profiles: user id (as string) to what is known of them besides, as a text.
    """

    users: NDArray[Any]
    items: NDArray[Any]
    times: IntArray | None = None
    ratings: FloatArray | None = None
    catalogue: Mapping[str, Item] = field(default_factory=dict)
    profiles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Interactions:
    """Who used what, in order: a CSR matrix whose rows are ordered sequences. Arrays are read-only.

    Args:
        indptr: int64 [n_users + 1]; row u is ``items[indptr[u]:indptr[u + 1]]``.
        items: int64 [n] in [0, n_items), by user and, within a user, by time.
        times: int64 [n] seconds (or input positions).
        n_items: size of the catalogue.

    Raises:
        TypeError: a wrong dtype.
        ValueError: a wrong shape, or an item outside the catalogue.
    """

    indptr: IntArray
    items: IntArray
    times: IntArray
    n_items: int

    def __post_init__(self) -> None:
        """Check shapes, dtypes and ranges; freeze the arrays."""
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
        """Number of rows."""
        return len(self.indptr) - 1

    def __len__(self) -> int:
        """Number of interactions."""
        return len(self.items)

    def row(self, user: int) -> IntArray:
        """The items of ``user`` in time order: int64 [row length], read-only."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    def lengths(self) -> IntArray:
        """Row lengths: int64 [n_users]."""
        return np.diff(self.indptr)

    def users(self) -> IntArray:
        """The user of every interaction: int64 [n]."""
        return np.repeat(np.arange(self.n_users, dtype=np.int64), self.lengths())

    def counts(self) -> IntArray:
        """How often each item occurs: int64 [n_items]."""
        return np.bincount(self.items, minlength=self.n_items).astype(np.int64)

    @cached_property
    def keys(self) -> IntArray:
        """user · n_items + item of every interaction, sorted: int64 [n]; kept once made."""
        keys = self.users()
        keys *= self.n_items
        keys += self.items
        keys.sort()
        keys.setflags(write=False)
        return keys

    def sha256(self) -> str:
        """Digest of the content."""
        digest = hashlib.sha256(str(self.n_items).encode())
        for array in (self.indptr, self.items, self.times):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def appended(self, rows: Iterable[Sequence[int] | IntArray]) -> Interactions:
        """A copy with ``rows`` as new users behind the present ones; their times run on from the last."""
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

    @staticmethod
    def from_rows(rows: Iterable[Sequence[int] | IntArray], n_items: int) -> Interactions:
        """Interactions out of one ordered sequence per user; times are positions."""
        empty = np.empty(0, dtype=np.int64)
        sequences = [np.asarray(row, dtype=np.int64) for row in rows]
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in sequences])]).astype(np.int64)
        times = np.concatenate([empty, *(np.arange(len(row), dtype=np.int64) for row in sequences)])
        return Interactions(indptr, np.concatenate([empty, *sequences]), times, n_items)


def joined(first: Interactions, second: Interactions) -> Interactions:
    """Row by row, ``first`` and then ``second`` (training and validation items make the test history).

    Rows of ``first`` beyond those of ``second`` (fake users) are dropped.
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
    """The items by row number: ``ids[i]`` is the source's name of item i, ``items[i]`` what is known of it."""

    ids: tuple[str, ...]
    items: tuple[Item, ...]

    def title(self, item: int) -> str:
        """Title of an item, or its id where it has none."""
        return self.items[item].title or self.ids[item]


@dataclass(frozen=True, eq=False)
class TrainData:
    """All that a fit may see. The held-out test items are not in it.

    Args:
        train: rows are the real users, then any fake ones.
        validation: one row per real user (for selection, never for the loss).
        catalogue: the items.
        profiles: what is known of each real user besides, as a text; empty where nothing is known of anybody.
    """

    train: Interactions
    validation: Interactions
    catalogue: Catalogue
    profiles: tuple[str, ...] = ()

    @property
    def n_users(self) -> int:
        """Rows of the training data, fake users included."""
        return self.train.n_users

    @property
    def n_real_users(self) -> int:
        """Real users: the first rows."""
        return self.validation.n_users

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        return self.train.n_items


class HeldOut:
    """The test items of one victim, sealed until its fit has ended."""

    def __init__(self, items: Interactions) -> None:
        self._items = items
        self._sealed = True

    def release(self) -> None:
        """Break the seal: fit, selection and poisoning are over."""
        self._sealed = False

    def read(self) -> Interactions:
        """The held-out items, one row per real user.

        Raises:
            SealedError: the fit has not ended.
        """
        if self._sealed:
            raise SealedError("a held-out item was read before the victim's fit had ended")
        return self._items


class DatasetConfig(BaseConfig):
    """Filters that every data set shares; they run before the split, repeated until nothing changes (k-core)."""

    min_user_interactions: int = Field(default=1, ge=1, description="Fewest interactions of a user that is kept")
    min_item_interactions: int = Field(default=1, ge=1, description="Fewest interactions of an item that is kept")
    min_rating: float | None = Field(
        default=None, description="Lowest rating that counts as an interaction; null keeps every row"
    )


class Dataset(Component):
    """A source of ratings.

    ``licence`` and ``source`` are shown to people; ``offers`` names what the rows hold.
    """

    Config: ClassVar[type[DatasetConfig]] = DatasetConfig
    licence: ClassVar[str] = ""
    source: ClassVar[str] = ""

    @abstractmethod
    def load(self) -> Ratings:
        """Read everything.

        Raises:
            DataError: the source is missing or cannot be read as interactions.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Hex digest of the bytes that ``load`` reads (and of nothing else), cheap enough for ``robench plan``.

        Raises:
            DataError: the source is missing.
        """
