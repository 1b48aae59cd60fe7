"""A folder of atomic files: ``NAME.inter`` and, optionally, ``NAME.item``."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pandas as pd

from robench.api import DataError, Dataset, DatasetConfig, Item, Ratings
from robench_plugins.datasets.tables import column, digest, named_once, numbers, read, seconds

TITLES = ("movie_title", "title", "name", "item_name")
YEARS = ("release_year", "year")
GENRES = ("class", "genre", "genres", "categories")


class Recbole(Dataset):
    """RecBole's atomic files (Zhao et al., CIKM 2021): tab-separated, header ``name:type``."""

    class Config(DatasetConfig):
        """Settings; a relative path counts from the suite's folder."""

        path: Path

    config: Config
    licence: ClassVar[str] = "that of the data set"
    source: ClassVar[str] = "a folder of yours, in RecBole's format"

    def _file(self, ending: str) -> Path | None:
        folder = self.config.path
        if folder.is_file():
            raise DataError("a file, not a folder", where=str(folder), hint=f"give the folder: {folder.parent}")
        if not folder.is_dir():
            raise DataError("no such folder", where=str(folder))
        found = sorted(folder.glob(f"*.{ending}"))
        if len(found) > 1:
            raise DataError(f"several .{ending} files: {', '.join(p.name for p in found)}", where=str(folder))
        return found[0] if found else None

    def _interactions(self) -> Path:
        path = self._file("inter")
        if path is None:
            raise DataError("no .inter file in the folder", where=str(self.config.path))
        return path

    def fingerprint(self) -> str:
        """sha256 of the files."""
        return digest(path for path in (self._interactions(), self._file("item")) if path is not None)

    def load(self) -> Ratings:
        """The rows of the .inter file."""
        path = self._interactions()
        table = _plain(read(path, "\t"), path)
        users = column(table, "user_id", path, "user").to_numpy(str)
        items = column(table, "item_id", path, "item").to_numpy(str)
        ratings = numbers(column(table, "rating", path, "rating"), path, "rating") if "rating" in table else None
        times = seconds(column(table, "timestamp", path, "time"), path, "time") if "timestamp" in table else None
        return Ratings(users, items, times, ratings, self._catalogue())

    def _catalogue(self) -> dict[str, Item]:
        path = self._file("item")
        if path is None:
            return {}
        table = _plain(read(path, "\t"), path)
        ids = column(table, "item_id", path, "item")
        blank = pd.Series([""] * len(table))
        titles, years, genres = (
            next((table[name] for name in names if name in table), blank).fillna("")
            for names in (TITLES, YEARS, GENRES)
        )
        return {
            str(item): Item(str(title), int(year) if str(year).isdigit() else None, tuple(str(genre).split()))
            for item, title, year, genre in zip(ids, titles, years, genres, strict=True)
        }


def _plain(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Columns without their ``:type``."""
    plain = table.rename(columns=lambda name: str(name).partition(":")[0])
    named_once(plain.columns, path)
    return plain
