"""Models that were trained elsewhere, and are measured without a new fit.

``trained_torch.py`` has the base class of those models that have embedded inputs.
"""

from __future__ import annotations

import copy
import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from robench.api.component import BaseConfig
from robench.api.data import Catalogue, IntArray, Interactions, Item, TrainData
from robench.api.errors import DataError, PluginError
from robench.api.models.base import Model
from robench.api.rng import Rng
from robench.api.surfaces import Surface


class TrainedConfig(BaseConfig):
    """The settings of a model that was trained elsewhere."""

    path: Path = Field(description="File with what the model has learnt")


class OwnItems:
    """The items of a model trained elsewhere, matched to a catalogue by their ids.

    The model has its own numbers for its N items. The model and the catalogue may each have items that the other lacks.

    Args:
        ids: the id of each of the model's items, as in the source of the data set.
        catalogue: the catalogue of the data set.
        where: the file of the model, for the error message.

    Attributes:
        own: the model's number of each item of the catalogue, or −1: int64 [n_items].

    Raises:
        DataError: if an id occurs twice, or if no item of the model is in the catalogue.
    """

    def __init__(self, ids: Sequence[object], catalogue: Catalogue, where: str = "") -> None:
        numbers = {str(one): number for number, one in enumerate(ids)}
        if len(numbers) < len(ids):
            raise DataError(f"{len(ids) - len(numbers)} items of the model have the id of another item", where=where)
        self.own: IntArray = np.array([numbers.get(one, -1) for one in catalogue.ids], dtype=np.int64)
        if (self.own < 0).all():
            first, theirs = next(iter(numbers), ""), next(iter(catalogue.ids), "")
            hint = f"the model has ids such as '{first}', and the data set has ids such as '{theirs}'"
            raise DataError("no item of the model is in the data set", where=where, hint=hint)

    def histories(self, users: IntArray, history: Interactions) -> list[IntArray]:
        """Returns each user's items, oldest first, without those that the model lacks.

        The items have the model's own numbers.
        """
        rows = [self.own[history.row(user)] for user in users.tolist()]
        return [row[row >= 0] for row in rows]

    def scores(self, own: ArrayLike) -> NDArray[np.float32]:
        """Returns the scores of the catalogue: float32 [B, n_items].

        An item that the model does not know ranks below all others.

        Args:
            own: the scores of the model's items, [B, N].

        Raises:
            PluginError: if the scores are not a matrix, or if a column is missing for an item of the catalogue.
        """
        given = np.asarray(own, dtype=np.float32)
        if given.ndim != 2 or given.shape[1] <= self.own.max():
            raise PluginError(f"scores of shape {given.shape} do not have a column for each item of the model")
        least = given.min(axis=1, keepdims=True)
        last = least - 1 - np.abs(least)  # in float32, the difference of 1 alone could be lost
        return np.asarray(np.where(self.own >= 0, given[:, self.own], last), dtype=np.float32)


class Trained(Model):
    """The base class of models that were trained elsewhere.

    ``load`` takes the place of a fit. The host skips defences and attacks that would change the fit. Rows of such a
    model have a flag, because robench cannot know which items the model has seen.

    Attributes:
        ids: the id of each of the model's items in the source of the data set, in the model's own order. ``load`` may
            set this attribute. Otherwise, the model's items are those of the catalogue.
        items: the model's items, matched to the catalogue.
        catalogue: the catalogue. In a view with rewritten titles, this catalogue has the new titles.
    """

    Config: ClassVar[type[TrainedConfig]] = TrainedConfig
    trained_elsewhere: ClassVar[bool] = True
    ids: Sequence[object] | None = None
    items: OwnItems
    catalogue: Catalogue

    @abstractmethod
    def load(self, path: Path) -> None:
        """Reads the model's file and sets ``ids`` if the model has its own numbers."""

    def read_texts(self, items: Sequence[Item]) -> None:
        """Computes what depends on the texts of items.

        The host calls this method after ``load``, and again on a copy of the model when titles are rewritten. The
        default implementation does nothing, which suits a model without the surface ``text``.

        Args:
            items: the items of the catalogue.
        """

    def outside(self) -> str:
        """Returns the SHA-256 digest of the file ``path``.

        Raises:
            DataError: if the file cannot be read.
        """
        path: Path = self.config.path
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from None

    def prepare(self, data: TrainData) -> None:
        """Loads the model and matches its items to the catalogue of the data."""
        path: Path = self.config.path
        self.load(path)
        ids = data.catalogue.ids if self.ids is None else self.ids
        self.items = OwnItems(ids, data.catalogue, str(path))
        self.catalogue = data.catalogue
        self.read_texts(data.catalogue.items)


class TrainedObject(Trained):
    """An object that was trained elsewhere and scores users by their histories.

    A subclass has ``load`` and ``scores``. ``items`` translates histories and scores between the object's own numbers
    and the catalogue. A subclass that reads titles declares ``surfaces = frozenset({"history", "text"})`` and
    ``reads_text = True``, and overrides ``read_texts``.
    """

    surfaces: ClassVar[frozenset[Surface]] = frozenset({"history"})

    def fit(self, data: TrainData, rng: Rng) -> None:
        """Loads the model and learns nothing but the training counts of the items."""
        self.prepare(data)
        self.counts = data.train.counts()

    def rewritten(self, items: Mapping[int, Item]) -> Self:
        """Returns a copy of the model with different texts for some items."""
        other = copy.copy(self)
        texts = tuple(items.get(row, item) for row, item in enumerate(self.catalogue.items))
        other.catalogue = Catalogue(self.catalogue.ids, texts)
        other.read_texts(texts)
        return other

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Returns the digest of the file, and the training counts of the items."""
        return {"sha256": np.frombuffer(bytes.fromhex(self.outside()), dtype=np.uint8), "counts": self.counts}

    def restore(self, data: TrainData, state: Mapping[str, NDArray[Any]], rng: Rng) -> None:
        """Loads the model again.

        Raises:
            DataError: if the file has changed.
        """
        if bytes(state["sha256"]).hex() != self.outside():
            raise DataError("has changed since the model was measured", where=str(self.config.path))
        self.prepare(data)
        self.counts = np.array(state["counts"], dtype=np.int64)


class TrainedModel(TrainedObject):
    """A model of any kind that was trained elsewhere.

    A subclass has ``load`` and ``score_histories``. The scores depend on the histories alone, so attacks can edit them.
    For a user without a known item, the model ranks items by their training counts. A model that reads titles declares
    ``surfaces = frozenset({"history", "text"})`` and ``reads_text = True``, and overrides ``read_texts``.
    """

    @abstractmethod
    def score_histories(self, histories: Sequence[IntArray]) -> ArrayLike:
        """Returns the scores of the model's N items: [B, N].

        Args:
            histories: the items of each user by the model's own numbers, oldest first, int64 arrays. Each history has
                at least one item.
        """

    def scores(self, users: IntArray, history: Interactions) -> NDArray[np.float32]:
        """Returns the scores of the catalogue: float32 [B, n_items]."""
        rows = self.items.histories(users, history)
        scores = np.tile(self.counts.astype(np.float32), (len(rows), 1))
        filled = [place for place, row in enumerate(rows) if len(row)]
        if filled:
            scores[filled] = self.items.scores(self.score_histories([rows[place] for place in filled]))
        return scores
