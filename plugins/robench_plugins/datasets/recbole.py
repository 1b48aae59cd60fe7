"""Data sets in the format of RecBole, as a folder of atomic files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pandas as pd
from pydantic import Field

from robench.api import DataError, Dataset, DatasetConfig, Item, Ratings
from robench_plugins.datasets.delimited_text import (
    check_header,
    digest_of,
    full_column,
    parse_numbers,
    parse_seconds,
    parse_year,
    read_table,
)

TITLES = ("movie_title", "title", "name", "item_name")
YEARS = ("release_year", "year")
GENRES = ("class", "genre", "genres", "categories")


class Recbole(Dataset):
    """Reads the atomic files of RecBole, ``NAME.inter`` and optionally ``NAME.item``.

    The format (Zhao et al., CIKM 2021) is tab-separated text with ``name:type`` in the header.
    """

    class Config(DatasetConfig):
        """Settings of the folder."""

        path: Path = Field(description="Folder of the atomic files; a relative path starts at the suite's folder")

    config: Config
    licence: ClassVar[str] = "that of the data set"
    source: ClassVar[str] = "a folder of yours, in RecBole's format"

    def fingerprint(self) -> str:
        """Returns the sha256 of the files."""
        return digest_of(path for path in (self._interactions(), self._file("item")) if path is not None)

    def load(self) -> Ratings:
        """Returns the interactions in the order of the file, with the items."""
        path = self._interactions()
        table = _without_types(read_table(path, "\t"), path)
        users = full_column(table, "user_id", path, "user").to_numpy(str)
        items = full_column(table, "item_id", path, "item").to_numpy(str)
        ratings = times = None
        if "rating" in table:
            ratings = parse_numbers(full_column(table, "rating", path, "rating"), path, "rating")
        if "timestamp" in table:
            times = parse_seconds(full_column(table, "timestamp", path, "time"), path, "time")
        return Ratings(users, items, times, ratings, self._catalogue())

    def _file(self, ending: str) -> Path | None:
        """Returns the only file with the given ending, or None if there is none.

        Raises:
            DataError: if the folder does not exist, or if it has several such files.
        """
        folder = self.config.path
        if folder.is_file():
            raise DataError("a file, not a folder", where=str(folder), hint=f"give the folder: {folder.parent}")
        if not folder.is_dir():
            raise DataError("no such folder", where=str(folder))
        paths = sorted(folder.glob(f"*.{ending}"))
        if len(paths) > 1:
            raise DataError(f"several .{ending} files: {', '.join(p.name for p in paths)}", where=str(folder))
        return paths[0] if paths else None

    def _interactions(self) -> Path:
        """Returns the file of interactions.

        Raises:
            DataError: if there is no such file.
        """
        path = self._file("inter")
        if path is None:
            raise DataError("no .inter file in the folder", where=str(self.config.path))
        return path

    def _catalogue(self) -> dict[str, Item]:
        """Returns the description of every item by its id.

        The result is empty if there is no file about items.
        """
        path = self._file("item")
        if path is None:
            return {}
        table = _without_types(read_table(path, "\t"), path)
        ids = full_column(table, "item_id", path, "item")
        blank = pd.Series([""] * len(table))
        titles, years, genres = (
            next((table[name] for name in names if name in table), blank).fillna("")
            for names in (TITLES, YEARS, GENRES)
        )
        return {
            str(item): Item(str(title), parse_year(year), tuple(str(genre).split()))
            for item, title, year, genre in zip(ids, titles, years, genres, strict=True)
        }


def _without_types(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Returns the table with ``name`` in place of ``name:type`` in its header."""
    plain = table.rename(columns=lambda name: str(name).partition(":")[0])
    check_header(plain.columns, path)
    return plain
