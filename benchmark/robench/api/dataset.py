"""The base class of data sets, the filter settings, and the class of raw logs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robench.api.component import LATER, BaseConfig, Component
from robench.api.data import FloatArray, IntArray, Item
from robench.api.download import Download
from robench.api.errors import DataError
from robench.api.item_vectors import ItemVectors, VectorSource

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Ids:
    """A column of ids that stores each distinct id only once.

    A long log needs far less memory in this form than as an array of strings.

    Args:
        codes: the index in ``names`` of each row's id, any integer type [n].
        names: the distinct ids as strings. Every name occurs in at least one row.
    """

    codes: NDArray[np.integer[Any]]
    names: Sequence[str]

    def __len__(self) -> int:
        """Returns the number of rows."""
        return len(self.codes)

    def tolist(self) -> list[str]:
        """Returns the id of every row."""
        return [self.names[code] for code in self.codes.tolist()]


@dataclass(frozen=True, eq=False)
class Ratings:
    """The raw log of a data set, with one row per event.

    Args:
        users: the user id of each event, as an array of any hashable type [n] or as ``Ids``.
        items: the item id of each event, as an array of any hashable type [n] or as ``Ids``.
        times: the time of each event in ticks, int64 [n], or None if the source has no times. Without times, the order
            of the rows counts as time.
        ratings: the rating of each event, float64 [n], or None if the source has no ratings.
        catalogue: the description of each item, by the item's id as a string.
        profiles: the description of each user, by the user's id as a string.
        ticks: the number of ticks per second. Times are counted from 1970. None means that only the order of the times
            is known.
        parts: the part of each event, int8 [n]: 0 for training, 1 for validation, 2 for test. None means that the
            source is not split.
        notes: one line about each peculiarity of the source. The lines are shown to the user.
        scale: the number of ticks per unit of the source, if ``ticks`` is None. The summary of the data shows the times
            in this unit.
        vectors: the vectors of items, or None if the source has none.
    """

    users: NDArray[Any] | Ids
    items: NDArray[Any] | Ids
    times: IntArray | None = None
    ratings: FloatArray | None = None
    catalogue: Mapping[str, Item] = field(default_factory=dict)
    profiles: Mapping[str, str] = field(default_factory=dict)
    ticks: int | None = 1
    parts: NDArray[np.int8] | None = None
    notes: tuple[str, ...] = ()
    scale: int = 1
    vectors: ItemVectors | None = None


class DatasetConfig(BaseConfig):
    """The filter settings that every data set has.

    The filters run before the split. First, ratings below ``min_rating`` are dropped. Then ``repeats`` decides which
    events of a repeated user-item pair are kept. Finally, users and items with too few interactions are dropped until
    nothing changes (k-core). In the k-core, a repeated pair counts once.
    """

    min_user_interactions: int = Field(default=1, ge=1, description="Minimum number of interactions per kept user")
    min_item_interactions: int = Field(default=1, ge=1, description="Minimum number of interactions per kept item")
    min_rating: float | None = Field(
        default=None, description="Lowest rating that counts as an interaction; null keeps every row"
    )
    repeats: Literal["first", "last", "all"] = Field(
        default="first",
        description="Which events of a repeated user-item pair are kept: the earliest, the latest, or all of them",
        json_schema_extra=LATER,
    )
    item_vectors: VectorSource = Field(
        default=VectorSource(),
        description="The vectors of the items: a file, texts or pictures",
        json_schema_extra=LATER,
    )


class Dataset(Component):
    """A source of interactions.

    Attributes:
        licence: the licence of the data, for human readers.
        source: the origin of the data, for human readers.
        downloads: the files that ``robench data prepare`` downloads and unpacks.
        general: whether the data set reads a general format such as CSV. If another data set also recognises a file,
            the other data set reads the file.
        folder: the folder with the unpacked downloads, or None. The host sets this attribute.
    """

    Config: ClassVar[type[DatasetConfig]] = DatasetConfig
    licence: ClassVar[str] = ""
    source: ClassVar[str] = ""
    downloads: ClassVar[tuple[Download, ...]] = ()
    general: ClassVar[bool] = False
    folder: Path | None = None

    @classmethod
    def recognise(cls, path: Path) -> Mapping[str, Any] | None:
        """Returns the settings with which this data set reads a file or a folder.

        The result is None if the file or folder has a different format. ``robench data inspect`` calls this method.
        """
        del path
        return None

    def unpacked(self) -> Path:
        """Returns the folder with the unpacked downloads.

        Raises:
            DataError: if the host has set no folder.
        """
        if self.folder is None:
            raise DataError("the files of this data set are not here", hint="robench data prepare downloads them")
        return self.folder

    @abstractmethod
    def load(self) -> Ratings:
        """Reads the whole source and returns the raw log.

        Raises:
            DataError: if the source is missing or cannot be read as interactions.
        """

    def with_files(self, files: Mapping[str, Path]) -> Dataset:
        """Returns a data set that reads one file for each part of an existing split.

        The new data set's ``load`` returns ``Ratings`` with ``parts``. The new data set's ``fingerprint`` covers the
        given files.

        Args:
            files: the file of each part, by the names in ``PARTS``. ``validation`` may be missing. If the mapping is
                empty, the data set must find the files by itself.

        Raises:
            DataError: if the data set cannot read files of an existing split, or cannot find the files by itself.
        """
        raise DataError("reads no files that are split already", hint="csv and recbole do")

    @abstractmethod
    def fingerprint(self) -> str:
        """Returns a hex digest of everything that ``load`` reads, and of nothing else.

        This method must be cheap, because ``robench plan`` calls it.

        Raises:
            DataError: if the source is missing.
        """
