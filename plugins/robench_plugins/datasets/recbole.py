"""Data sets in the format of RecBole, as a folder of atomic files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robench.api import DataError, Dataset, DatasetConfig, Item, Ratings
from robench_plugins.datasets.reading.delimited import Delimited, read_delimited
from robench_plugins.datasets.reading.items import describe_items, distinct_ids, read_items
from robench_plugins.datasets.reading.joined import digest_of_parts, read_parts
from robench_plugins.datasets.reading.opening import digest_of, is_hidden, plain_suffix
from robench_plugins.datasets.reading.table import Table, check_names
from robench_plugins.datasets.reading.times import Times, read_times

TITLES = ("movie_title", "title", "name", "item_name")
YEARS = ("release_year", "year")
BENCHMARK = re.compile(r".*\.(?P<part>train|valid|test)\.inter(\.[a-z0-9]+)?")
RECBOLE_PARTS = {"train": "train", "valid": "validation", "test": "test"}
GENRES = ("class", "genre", "genres", "categories")


class Recbole(Dataset):
    """Reads the atomic files of RecBole, ``NAME.inter`` and optionally ``NAME.item``.

    The format (Zhao et al., CIKM 2021) is tab-separated text with ``name:type`` in the header.
    """

    class Config(DatasetConfig):
        """Settings of the folder."""

        path: Path = Field(description="Folder of the atomic files; a relative path starts at the suite's folder")

    config: Config
    licence: ClassVar[str] = "the licence of the data set"
    source: ClassVar[str] = "your own folder, in RecBole's format"
    files: Mapping[str, Path] = {}  # the file of each part, if the source is split already

    def with_files(self, files: Mapping[str, Path]) -> Recbole:
        """Returns a data set that reads a file per part.

        Without files, the benchmark files of the folder are read: ``NAME.train.inter``, ``NAME.valid.inter`` and
        ``NAME.test.inter``.

        Raises:
            DataError: if no files are given, and the folder is missing, lacks a file for training or test, or has
                several files for a part.
        """
        split = type(self)(self.config)
        split.files = files or self._benchmark_files()
        return split

    def _benchmark_files(self) -> dict[str, Path]:
        """Returns the file of each part in the folder.

        Raises:
            DataError: if the folder is missing, if a part has several files, or if there is no file for training or
                test.
        """
        found: dict[str, Path] = {}
        for path in self._list("inter"):
            match = BENCHMARK.fullmatch(path.name)
            if match is None:
                continue
            part = RECBOLE_PARTS[match["part"]]
            if part in found:
                problem = f"several .{match['part']}.inter files: {found[part].name}, {path.name}"
                raise DataError(problem, where=str(self.config.path), hint="name the files in split")
            found[part] = path
        if missing := [name for name, part in RECBOLE_PARTS.items() if part not in found and part != "validation"]:
            hint = "split: {name: files, train: FILE, test: FILE} names others"
            raise DataError(f"no .{missing[0]}.inter file in the folder", where=str(self.config.path), hint=hint)
        return found

    @classmethod
    def recognise(cls, path: Path) -> Mapping[str, Any] | None:
        """Returns the settings for a folder of atomic files, or for a file in it.

        The result is None for other folders and files.
        """
        folder = path if path.is_dir() else path.parent
        files = [one for one in folder.iterdir() if plain_suffix(one) == ".inter" and not is_hidden(one.name)]
        known = path.is_dir() or plain_suffix(path) in (".inter", ".item", ".user")
        return {"path": folder} if files and known else None

    def fingerprint(self) -> str:
        """Returns the sha256 of the files that ``load`` reads."""
        if self.files:
            return digest_of_parts(self.files, [self._file("item")])
        return digest_of(path for path in (self._interactions(), self._file("item")) if path is not None)

    def load(self) -> Ratings:
        """Returns the interactions in the order of the rows, with the items."""
        table, parts = self._table()
        users, items = table.ids("user_id", "user"), table.ids("item_id", "item")
        ratings = table.numbers("rating", "rating") if "rating" in table else None
        times = read_times(table, "timestamp") if "timestamp" in table else Times(None)
        catalogue, notes = self._catalogue()
        notes = times.notes + notes
        return Ratings(
            users,
            items,
            times.values,
            ratings,
            catalogue,
            ticks=times.ticks,
            parts=parts,
            notes=notes,
            scale=times.scale,
        )

    def _table(self) -> tuple[Table, NDArray[np.int8] | None]:
        """Returns all rows of interactions, and the part of each row.

        The parts are None if the source is not split.
        """

        def read(path: Path) -> Table:
            table = _read(path, ("user_id", "item_id"))
            table.check("user_id", "user")
            table.check("item_id", "item")
            return table

        if not self.files:
            return read(self._interactions()), None
        return read_parts(self.files, read, ("rating", "timestamp"))

    def _list(self, ending: str) -> list[Path]:
        """Returns the files with the given suffix, sorted.

        Raises:
            DataError: if the path does not lead to a folder.
        """
        folder = self.config.path
        if folder.is_file():
            raise DataError("a file, not a folder", where=str(folder), hint=f"give the folder: {folder.parent}")
        if not folder.is_dir():
            raise DataError("no such folder", where=str(folder))
        return sorted(p for p in folder.iterdir() if plain_suffix(p) == f".{ending}" and not is_hidden(p.name))

    def _file(self, ending: str) -> Path | None:
        """Returns the only file with the given suffix, or None if there is none.

        Raises:
            DataError: if the folder does not exist, or if it has several such files.
        """
        paths = self._list(ending)
        if len(paths) > 1:
            split = ending == "inter" and all(BENCHMARK.fullmatch(path.name) for path in paths)
            hint = "split: files reads these, which are split already" if split else ""
            names = ", ".join(path.name for path in paths)
            raise DataError(f"several .{ending} files: {names}", where=str(self.config.path), hint=hint)
        return paths[0] if paths else None

    def _interactions(self) -> Path:
        """Returns the file of interactions.

        Raises:
            DataError: if there is no such file, or more than one.
        """
        path = self._file("inter")
        if path is None:
            raise DataError("no .inter file in the folder", where=str(self.config.path))
        return path

    def _catalogue(self) -> tuple[dict[str, Item], tuple[str, ...]]:
        """Returns the description of every item by its id, and notes about the file.

        Both are empty if there is no file about items.
        """
        path = self._file("item")
        if path is None:
            return {}, ()
        table = _read(path, ("item_id",))
        ids = distinct_ids(table, "item_id", "item", "item")
        title, year, genres = (
            next((name for name in names if name in table), names[0]) for names in (TITLES, YEARS, GENRES)
        )
        items = read_items(table, ids, title, year, genres, "", str.split)
        return items, describe_items(table, title, year, (genres,))


def _read(path: Path, ids: tuple[str, ...]) -> Table:
    """Returns the table of an atomic file, without types in the names of its columns."""
    typed = tuple(f"{name}:token" for name in ids)
    table = read_delimited(path, Delimited("\t", ids=typed, whole=("timestamp:float",), real=("rating:float",)))
    names = [name.partition(":")[0] for name in table.names]
    check_names(names, f"{path}:1")
    return replace(table, data=table.data.rename_columns(names))
