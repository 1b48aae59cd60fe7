"""A delimited text file of interactions, with files about items and users."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import pandas as pd
from pydantic import Field

from robench.api import DataError, Dataset, DatasetConfig, Item, Ratings
from robench_plugins.datasets.delimited_text import (
    check_column,
    digest_of,
    full_column,
    parse_numbers,
    parse_seconds,
    parse_year,
    read_table,
)

AUTO = "auto"
SEPARATORS = ("\t", ";", ",", "|", "::")


class CsvFile(Dataset):
    """Reads interactions from delimited text with a header.

    Ids are not parsed, so ``007`` stays ``007``. ``items`` names a file about items, and ``users`` names a file about
    users. Models may read a text about each user. The text holds the columns in ``profile``, or by default all columns
    of the users' file. If a user-item pair is repeated, the first row counts. Times are in seconds. Without times, the
    order of the rows counts.
    """

    class Config(DatasetConfig):
        """Settings of the files and their columns.

        Relative paths start at the folder of the suite.
        """

        path: Path = Field(description="File of interactions, one per row")
        items: Path | None = Field(default=None, description="File with one row per item")
        users: Path | None = Field(default=None, description="File with one row per user")
        user: str = Field(default="user", description="Column of user ids in the file of interactions")
        item: str = Field(default="item", description="Column of item ids in the file of interactions")
        rating: str | None = Field(
            default=AUTO, description="Column of ratings; auto uses rating if it exists, and null uses none"
        )
        time: str | None = Field(
            default=AUTO, description="Column of times in seconds; auto uses time or timestamp, and null uses none"
        )
        separator: str | None = Field(
            default=None, description="Text between two cells; null means a tab in .tsv and .tab files, else a comma"
        )
        item_id: str = Field(default="item", description="Column of item ids in the file of items")
        title: str = Field(default="title", description="Column of titles in the file of items")
        year: str = Field(default="year", description="Column of years in the file of items")
        genres: str = Field(default="genres", description="Column of genres in the file of items, separated by |")
        description: str = Field(default="description", description="Column of descriptions in the file of items")
        user_id: str = Field(default="user", description="Column of user ids in the file of users")
        profile: tuple[str, ...] | None = Field(
            default=None, description="Columns of the file of users that models may read; null means all"
        )

    config: Config
    licence: ClassVar[str] = "that of the file"
    source: ClassVar[str] = "a file of yours"

    def fingerprint(self) -> str:
        """Returns the sha256 of the files."""
        paths = (self.config.path, self.config.items, self.config.users)
        return digest_of(path for path in paths if path is not None)

    def load(self) -> Ratings:
        """Returns the interactions in the order of the file, with items and users."""
        path = self.config.path
        table = self._read(path)
        users = full_column(table, self.config.user, path, "user").to_numpy(str)
        items = full_column(table, self.config.item, path, "item").to_numpy(str)
        rating = _optional_column(table, self.config.rating, ("rating",))
        time = _optional_column(table, self.config.time, ("time", "timestamp"))
        ratings = None if rating is None else parse_numbers(full_column(table, rating, path, "rating"), path, "rating")
        times = None if time is None else parse_seconds(full_column(table, time, path, "time"), path, "time")
        return Ratings(users, items, times, ratings, self._catalogue(), self._profiles())

    def _read(self, path: Path) -> pd.DataFrame:
        """Returns the table in a file.

        Raises:
            DataError: if the file is not a table, or if the header uses another separator.
        """
        separator = self.config.separator or ("\t" if path.suffix in (".tsv", ".tab") else ",")
        table = read_table(path, separator)
        header = str(table.columns[0])
        other = next((sign for sign in SEPARATORS if sign != separator and sign in header), None)
        if len(table.columns) == 1 and other is not None:
            hint = f"set separator: {json.dumps(other)}"
            raise DataError(f"the header has no {json.dumps(separator)} between columns", where=f"{path}:1", hint=hint)
        return table

    def _ids(self, table: pd.DataFrame, path: Path, key: str) -> pd.Series[str]:
        """Returns the column of distinct ids that a setting names.

        If the default column does not exist, a column with the name of the setting is used.

        Raises:
            DataError: if there is no such column, or if an id is repeated.
        """
        name = getattr(self.config, key)
        if name not in table and key in table and name == type(self.config).model_fields[key].default:
            name = key
        ids = full_column(table, name, path, key)
        if ids.duplicated().any():
            kind = key.removesuffix("_id")
            raise DataError(f"{kind} '{ids[ids.duplicated()].iloc[0]}' is described twice", where=str(path))
        return ids

    def _catalogue(self) -> dict[str, Item]:
        """Returns the description of every item by its id.

        The result is empty if there is no file about items.
        """
        path = self.config.items
        if path is None:
            return {}
        table = self._read(path)
        ids = self._ids(table, path, "item_id")
        for key in ("title", "year", "genres", "description"):
            name = getattr(self.config, key)
            if name != type(self.config).model_fields[key].default:
                check_column(table, name, path, key)
        blank = pd.Series([""] * len(table))
        c = self.config
        columns = [table.get(name, blank).fillna("") for name in (c.title, c.year, c.genres, c.description)]
        return {
            str(item): Item(str(title), parse_year(year), tuple(filter(None, str(genre).split("|"))), str(description))
            for item, title, year, genre, description in zip(ids, *columns, strict=True)
        }

    def _profiles(self) -> dict[str, str]:
        """Returns the text about each user, by the id of the user.

        The result is empty if there is no file about users. A text such as ``age: 24, occupation: nurse`` follows the
        order of the columns and leaves out empty cells.
        """
        path = self.config.users
        if path is None:
            return {}
        table = self._read(path)
        ids = self._ids(table, path, "user_id")
        names = self.config.profile
        chosen = [name for name in table.columns if name != ids.name] if names is None else list(names)
        for name in chosen:
            check_column(table, name, path, "profile")
        columns = [table[name].fillna("").astype(str) for name in chosen]
        rows = zip(*columns, strict=True) if columns else [()] * len(table)
        texts = [", ".join(f"{name}: {cell}" for name, cell in zip(chosen, row, strict=True) if cell) for row in rows]
        return dict(zip(ids.astype(str), texts, strict=True))


def _optional_column(table: pd.DataFrame, name: str | None, usual: tuple[str, ...]) -> str | None:
    """Returns the column that a setting names, or None if there is none.

    ``auto`` means the first of the usual names that the table has.
    """
    return next((n for n in usual if n in table), None) if name == AUTO else name
