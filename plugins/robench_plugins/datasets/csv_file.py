"""Any file of user,item[,rating][,time] rows, with optional item text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pandas as pd

from robench.api import DataError, Dataset, DatasetConfig, Item, Ratings
from robench.api.errors import did_you_mean
from robench_plugins.datasets.tables import column, digest, numbers, read, seconds

AUTO = "auto"
SEPARATORS = ("\t", ";", ",", "|", "::")


class CsvFile(Dataset):
    """Delimited text with a header. Ids are kept as written (``007`` stays ``007``).

    ``items`` names a file of what is known of items, ``users`` one of what is known of users: all its columns, or those
    of ``profile``, make the text that models may read. Columns named ``rating`` and ``time`` or ``timestamp`` are used
    where they exist (``auto``); other names are given by ``rating`` and ``time``, and null leaves the column out. A
    repeated user-item pair keeps its first row. Times are seconds; without them the order of the rows counts.
    """

    class Config(DatasetConfig):
        """Settings; relative paths count from the suite's folder."""

        path: Path
        items: Path | None = None
        users: Path | None = None
        user: str = "user"
        item: str = "item"
        rating: str | None = AUTO
        time: str | None = AUTO
        separator: str | None = None
        item_id: str = "item"
        title: str = "title"
        year: str = "year"
        genres: str = "genres"
        description: str = "description"
        user_id: str = "user"
        profile: tuple[str, ...] | None = None

    config: Config
    licence: ClassVar[str] = "that of the file"
    source: ClassVar[str] = "a file of yours"

    def _paths(self) -> list[Path]:
        return [path for path in (self.config.path, self.config.items, self.config.users) if path is not None]

    def fingerprint(self) -> str:
        """sha256 of the files."""
        return digest(self._paths())

    def _read(self, path: Path) -> pd.DataFrame:
        used = self.config.separator or ("\t" if path.suffix in (".tsv", ".tab") else ",")
        table = read(path, used)
        header = str(table.columns[0])
        other = next((sign for sign in SEPARATORS if sign != used and sign in header), None)
        if len(table.columns) == 1 and other is not None:
            hint = f"set separator: {json.dumps(other)}"
            raise DataError(f"the header has no {json.dumps(used)} between columns", where=f"{path}:1", hint=hint)
        return table

    def load(self) -> Ratings:
        """The rows of the file."""
        path = self.config.path
        table = self._read(path)
        users = column(table, self.config.user, path, "user").to_numpy(str)
        items = column(table, self.config.item, path, "item").to_numpy(str)
        rating = _found(table, self.config.rating, ("rating",))
        time = _found(table, self.config.time, ("time", "timestamp"))
        ratings = None if rating is None else numbers(column(table, rating, path, "rating"), path, "rating")
        times = None if time is None else seconds(column(table, time, path, "time"), path, "time")
        return Ratings(users, items, times, ratings, self._catalogue(), self._profiles())

    def _ids(self, table: pd.DataFrame, path: Path, key: str) -> pd.Series[str]:
        """The column of ids, each once; by default also one that is called as the setting is."""
        name = getattr(self.config, key)
        if name not in table and key in table and name == type(self.config).model_fields[key].default:
            name = key
        ids = column(table, name, path, key)
        if ids.duplicated().any():
            what = key.removesuffix("_id")
            raise DataError(f"{what} '{ids[ids.duplicated()].iloc[0]}' is described twice", where=str(path))
        return ids

    def _catalogue(self) -> dict[str, Item]:
        path = self.config.items
        if path is None:
            return {}
        table = self._read(path)
        ids = self._ids(table, path, "item_id")
        for key in ("title", "year", "genres", "description"):
            name = getattr(self.config, key)
            if name != type(self.config).model_fields[key].default:
                _there(table, name, path, key)
        blank = pd.Series([""] * len(table))
        c = self.config
        columns = [table.get(name, blank).fillna("") for name in (c.title, c.year, c.genres, c.description)]
        return {
            str(item): Item(
                str(title),
                int(year) if str(year).isdigit() else None,
                tuple(filter(None, str(genre).split("|"))),
                str(description),
            )
            for item, title, year, genre, description in zip(ids, *columns, strict=True)
        }

    def _profiles(self) -> dict[str, str]:
        """``age: 24, occupation: nurse`` of every user, in the order of the columns; what is empty is left out."""
        path = self.config.users
        if path is None:
            return {}
        table = self._read(path)
        ids = self._ids(table, path, "user_id")
        names = self.config.profile
        chosen = [name for name in table.columns if name != ids.name] if names is None else list(names)
        for name in chosen:
            _there(table, name, path, "profile")
        columns = [table[name].fillna("").astype(str) for name in chosen]
        rows = zip(*columns, strict=True) if columns else [()] * len(table)
        told = [", ".join(f"{n}: {v}" for n, v in zip(chosen, row, strict=True) if v) for row in rows]
        return dict(zip(ids.astype(str), told, strict=True))


def _found(table: pd.DataFrame, name: str | None, usual: tuple[str, ...]) -> str | None:
    """The column of a setting; None where it is switched off, or nothing was said and there is none."""
    return next((n for n in usual if n in table), None) if name == AUTO else name


def _there(table: pd.DataFrame, name: str, path: Path, key: str) -> None:
    """Refuse a column that is not in the header; its cells may be empty."""
    if name not in table:
        raise DataError(f"no column '{name}' for {key}", where=f"{path}:1", hint=did_you_mean(name, map(str, table)))
