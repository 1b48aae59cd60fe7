"""Defines prepared data sets and writes and reads their files."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.codec import decode, encode
from robench.api.data import Catalogue, HeldOut, Interactions, Item, TrainData, joined
from robench.api.summary import DataSummary


@dataclass(frozen=True, eq=False)
class Prepared:
    """A data set after the filters and the split.

    Every ``Interactions`` has one row per user.

    Args:
        train: the training items.
        validation: the validation items.
        test: the test items.
        catalogue: the ids and descriptions of all items.
        user_ids: the id of each user in the source.
        timed: whether the source has times. Otherwise, the order of the rows in the source counts as time.
        profiles: the description of each user. The tuple is empty if the source has no profiles.
        summary: the counts of what was read and of what the filters kept. ``sha256`` does not cover the summary.
        known: the known items of cold users. None means that the split has no cold users.

    Raises:
        ValueError: if a cold user has training items.
    """

    train: Interactions
    validation: Interactions
    test: Interactions
    catalogue: Catalogue
    user_ids: tuple[str, ...]
    timed: bool = True
    profiles: tuple[str, ...] = ()
    summary: DataSummary = field(default_factory=DataSummary)
    known: Interactions | None = None

    def __post_init__(self) -> None:
        """Checks that no cold user has training items."""
        if self.known is not None and (self.train.lengths() * self.known.lengths()).any():
            raise ValueError("a cold user has training items")

    def train_data(self) -> TrainData:
        """Returns the data that a fit may see.

        The data contain the items of cold users for validation, but no items of cold users for the test.
        """
        known = None if self.known is None else _only(self.known, self.validation.lengths() > 0)
        return TrainData(self.train, self.validation, self.catalogue, self.profiles, known)

    def given(self) -> Interactions:
        """Returns each user's training items, or known items if the user is cold."""
        return self.train if self.known is None else joined(self.train, self.known)

    def history(self) -> Interactions:
        """Returns each user's history at test time.

        The history consists of the items from ``given``, followed by the validation items.
        """
        return joined(self.given(), self.validation)

    def held_out(self) -> HeldOut:
        """Returns the sealed test items."""
        return HeldOut(self.test)

    def sha256(self) -> str:
        """Returns the SHA-256 digest of the interactions and of all facts beside them."""
        facts: list[Any] = [self.user_ids, self.catalogue.ids, [item.facts() for item in self.catalogue.items]]
        texts = json.dumps(facts + ([self.profiles] if self.profiles else []))
        vectors = self.catalogue.vectors
        texts += "" if vectors is None else hashlib.sha256(vectors.tobytes()).hexdigest() + str(vectors.shape)
        known = [] if self.known is None else [self.known]
        parts = [part.sha256() for part in (self.train, self.validation, self.test, *known)]
        return hashlib.sha256("".join([*parts, texts]).encode()).hexdigest()

    def save(self, path: Path) -> None:
        """Writes the data to an npz file without pickles."""
        path.write_bytes(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Returns the content of an npz file with the data, without pickles."""
        texts = {
            "user_ids": self.user_ids,
            "item_ids": self.catalogue.ids,
            "items": [item.facts() for item in self.catalogue.items],
            "timed": self.timed,
            "profiles": self.profiles,
            "summary": encode(self.summary),
        }
        arrays: dict[str, NDArray[Any]] = {"texts": np.frombuffer(json.dumps(texts).encode(), dtype=np.uint8)}
        if self.catalogue.vectors is not None:
            arrays["vectors"] = self.catalogue.vectors
        for name in ("train", "validation", "test", *([] if self.known is None else ["known"])):
            part: Interactions = getattr(self, name)
            arrays |= {f"{name}_indptr": part.indptr, f"{name}_items": part.items, f"{name}_times": part.times}
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @staticmethod
    def load(path: Path) -> Prepared:
        """Reads prepared data from a file that ``save`` has written."""
        return Prepared.from_bytes(path.read_bytes())

    @staticmethod
    def from_bytes(content: bytes) -> Prepared:
        """Reads prepared data from bytes that ``to_bytes`` has returned."""
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            texts = json.loads(file["texts"].tobytes())
            n_items = len(texts["item_ids"])
            train, validation, test = (_read(file, name, n_items) for name in ("train", "validation", "test"))
            known = _read(file, "known", n_items) if "known_indptr" in file else None
            vectors = file.get("vectors")
        items = tuple(Item(i["title"], i["year"], tuple(i["genres"]), i.get("description", "")) for i in texts["items"])
        catalogue = Catalogue(tuple(texts["item_ids"]), items, vectors)
        profiles = tuple(texts.get("profiles", ()))
        summary = decode(DataSummary, texts["summary"])
        return Prepared(
            train, validation, test, catalogue, tuple(texts["user_ids"]), bool(texts["timed"]), profiles, summary, known
        )


def _only(data: Interactions, users: NDArray[np.bool_]) -> Interactions:
    """Returns ``data`` with empty rows for all users outside the mask ``users``."""
    kept = users[data.users()]
    indptr = np.concatenate([[0], np.cumsum(np.where(users, data.lengths(), 0))]).astype(np.int64)
    return Interactions(indptr, data.items[kept], data.times[kept], data.n_items)


def _read(file: Mapping[str, NDArray[Any]], name: str, n_items: int) -> Interactions:
    return Interactions(file[f"{name}_indptr"], file[f"{name}_items"], file[f"{name}_times"], n_items)
