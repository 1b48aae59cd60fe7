"""Pandas frames that a Python program gives to ``robench.run``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pyarrow as pa
from pydantic import Field

from robench.api import DataError, Dataset, DatasetConfig, Item, Ratings
from robench_plugins.datasets.reading.items import describe_items, distinct_ids, read_items
from robench_plugins.datasets.reading.table import Table
from robench_plugins.datasets.reading.times import Times, read_times

COLUMNS = ("user", "item", "rating", "time", "timestamp")
DESCRIPTIONS = ("item", "title", "year", "genres", "description")


@dataclass(frozen=True, eq=False)
class FrameTable(Table):
    """The rows of a pandas frame.

    ``path`` holds the name of the frame.
    """

    def error(self, problem: str, row: int | None = None, hint: str = "") -> DataError:
        """Returns an error that names the frame, or a row of it as ``NAME.iloc[row]``."""
        return DataError(problem, where=str(self.path) + ("" if row is None else f".iloc[{row}]"), hint=hint)


class Frame(Dataset):
    """Reads a pandas frame that a Python program gives to ``robench.run``.

    The frame has the columns ``user`` and ``item``, and optionally ``rating`` and ``time`` or ``timestamp``. A second
    frame may describe the items in the columns ``item`` (or ``item_id``), ``title``, ``year``, ``genres`` and
    ``description``. Ids and times are read in the same way as those in a file.
    """

    class Config(DatasetConfig):
        """Settings of the frame."""

        data: str = Field(description="Name of the frame in the argument datasets of robench.run")

    config: Config
    licence: ClassVar[str] = "that of the frame"
    source: ClassVar[str] = "your own frame, from Python"
    frames: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def holding(cls, frames: Mapping[str, Any]) -> type[Frame]:
        """Returns a class that reads these frames.

        Args:
            frames: the given objects by name. Each is a frame of interactions, or a tuple (interactions, items).
        """
        return type(cls.__name__, (cls,), {"frames": dict(frames), "__module__": cls.__module__})

    def _tables(self) -> tuple[FrameTable, FrameTable | None]:
        """Returns the interactions, and the items if there are any.

        Raises:
            DataError: if no frame was given for this data set, if the given object is not a frame, or if a frame cannot
                be read as a table.
        """
        name = self.config.data
        if name not in self.frames:
            problem = f"the data set '{name}' comes from Python, and is in no file"
            raise DataError(problem, hint=f"robench.run(SUITE, datasets={{'{name}': frame}}) gives it")
        given = self.frames[name]
        pair = given if isinstance(given, tuple) else (given, None)
        if len(pair) != 2 or not isinstance(pair[0], pd.DataFrame) or not isinstance(pair[1], pd.DataFrame | None):
            hint = "a frame of interactions, or (interactions, items)"
            raise DataError(f"datasets['{name}'] is not a pandas frame", hint=hint)
        described = pair[1]
        if described is not None and "item" not in described.columns:
            described = described.rename(columns={"item_id": "item"})
        items = None if described is None else _to_table(f"{name}[1]", described, DESCRIPTIONS, ("item",))
        return _to_table(name, pair[0], COLUMNS, ("user", "item")), items

    def fingerprint(self) -> str:
        """Returns the sha256 of the columns that are read."""
        digest = hashlib.sha256()
        for table in self._tables():
            if table is not None:
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, table.data.schema) as writer:
                    writer.write_table(table.data.combine_chunks())
                digest.update(sink.getvalue())
        return digest.hexdigest()

    def load(self) -> Ratings:
        """Returns the interactions in the order of the frame, with the items."""
        table, described = self._tables()
        users, items = table.ids("user", "user"), table.ids("item", "item")
        ratings = table.numbers("rating", "rating") if "rating" in table else None
        time = next((name for name in ("time", "timestamp") if name in table), None)
        times = Times(None) if time is None else read_times(table, time)
        catalogue: dict[str, Item] = {}
        notes = times.notes
        if described is not None:
            ids = distinct_ids(described, "item", "item", "item")
            catalogue = read_items(described, ids, *DESCRIPTIONS[1:], lambda cell: cell.split("|"))
            notes += describe_items(described, "title", "year", ("genres", "description"))
        return Ratings(
            users, items, times.values, ratings, catalogue, ticks=times.ticks, notes=notes, scale=times.scale
        )


def _to_table(name: str, frame: pd.DataFrame, columns: tuple[str, ...], ids: tuple[str, ...]) -> FrameTable:
    """Returns a table of those columns that a data set reads from a frame.

    Args:
        name: the name of the frame, for messages.
        frame: the frame.
        columns: the columns that are read if the frame has them.
        ids: the columns of ids, which the frame must have.

    Raises:
        DataError: if a needed column is missing, if a column occurs twice or holds values of several types, or if the
            frame has no rows.
    """
    arrays: dict[str, pa.Array] = {}
    for column in (one for one in columns if one in frame.columns):
        values = frame[column]
        if not isinstance(values, pd.Series):
            raise DataError(f"two columns are named '{column}'", where=name)
        if column in ids and values.dtype == object:
            values = values.map(str, na_action="ignore")
        try:
            arrays[column] = pa.Array.from_pandas(values)
        except pa.ArrowException as error:
            raise DataError(f"column '{column}': {str(error).splitlines()[0]}", where=name) from None
    table = FrameTable(Path(name), pa.table(arrays), lambda row: row)
    for column in ids:
        if column not in table:
            names = ", ".join(map(str, frame.columns)) or "none"
            raise DataError(f"no column '{column}'", where=name, hint=f"its columns: {names}")
    if not len(table):
        raise DataError("the frame has no rows", where=name)
    return table
