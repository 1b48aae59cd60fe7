"""The base class of data sets, their filters, and the raw logs that they return."""

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

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Ids:
    """A column of ids, as numbers of distinct ids.

    A long log needs far less memory in this form than as an array of strings.

    Args:
        codes: the number of each row's id, any integer type [n].
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
    """A raw log of a data set, with one row per event.

    Args:
        users: the user id of each event: an array of any hashable type [n], or ``Ids``.
        items: the item id of each event, likewise.
        times: the time of each event, int64 [n], in ``ticks`` per second. None means that the source has no times. Then
            the order of the rows counts as time.
        ratings: the rating of each event, float64 [n], or None if the source has no ratings.
        catalogue: the description of each item, by its id as a string.
        profiles: a text about each user, by the user's id as a string.
        ticks: the number of ticks per second since 1970. None means that only the order of times is known.
        parts: the part of each event, int8 [n]: 0 training, 1 validation, 2 test. None if the source is not split.
        notes: one line for the user per peculiarity of the source.
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


class DatasetConfig(BaseConfig):
    """The filters of every data set.

    The filters run before the split. Ratings below ``min_rating`` and repeated user-item pairs are dropped first. Users
    and items with too few interactions are then dropped until nothing changes (k-core).
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


class Dataset(Component):
    """A source of ratings.

    Attributes:
        licence: the licence of the data, for human readers.
        source: the origin of the data, for human readers.
        downloads: the files that ``robench data prepare`` downloads and unpacks. The tuple is empty if there are none.
        general: True if the data set can read files of any content. A data set that recognises a file is preferred.
        folder: the folder with the unpacked downloads, which the host sets. It is None if there are none.
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

        ``robench data inspect`` calls this method. The result is None if the path is of another format.
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
        """Reads the whole log.

        Raises:
            DataError: if the source is missing or cannot be read as interactions.
        """

    def with_files(self, files: Mapping[str, Path]) -> Dataset:
        """Returns a data set that reads files which are split already.

        ``load`` of the result gives ``Ratings`` with ``parts``, and ``fingerprint`` covers these files.

        Args:
            files: the file of each part in ``PARTS``, without ``validation`` if there is none. An empty mapping means
                that the source finds the files by itself.

        Raises:
            DataError: if the source does not read such files.
        """
        raise DataError("reads no files that are split already", hint="csv and recbole do")

    @abstractmethod
    def fingerprint(self) -> str:
        """Returns a hex digest of the bytes that ``load`` reads, and of nothing else.

        This method must be cheap, because ``robench plan`` calls it.

        Raises:
            DataError: if the source is missing.
        """
