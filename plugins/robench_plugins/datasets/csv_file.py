"""A file of interactions, with optional files about items and users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from robench.api import DataError, Dataset, DatasetConfig, Item, Ratings, SettingError
from robench.api.component import LATER
from robench_plugins.datasets.reading.advice import Advice
from robench_plugins.datasets.reading.delimited import Delimited
from robench_plugins.datasets.reading.files import format_of, read_table
from robench_plugins.datasets.reading.headers import refuse_names, refuse_words
from robench_plugins.datasets.reading.items import describe_items, distinct_ids, read_items, read_profiles
from robench_plugins.datasets.reading.joined import digest_of_parts, read_parts
from robench_plugins.datasets.reading.opening import digest_of
from robench_plugins.datasets.reading.recognition import recognise_table
from robench_plugins.datasets.reading.table import Table
from robench_plugins.datasets.reading.text import ENCODINGS, find_encoding
from robench_plugins.datasets.reading.times import Times, read_times
from robench_plugins.datasets.reading.unused import find_unused

AUTO = "auto"
File = Literal["path", "items", "users"]  # the settings that name files
FILES: tuple[File, ...] = ("path", "items", "users")
RATINGS = ("rating",)
TIMES = ("time", "timestamp")
FORM = ("separator", "encoding", "header", "columns")  # the settings of the form of a file
OF_INTERACTIONS = {"header", "columns", "decimal"}  # the settings that apply to the file of interactions only
# Some settings describe the file of items or of users, and need the setting that names this file.
NEEDS = dict.fromkeys(("item_id", "title", "year", "genres", "description"), "items") | dict.fromkeys(
    ("user_id", "profile"), "users"
)


class CsvFile(Dataset):
    """Reads interactions from delimited text, Parquet or JSON lines.

    Ids are not parsed, so ``007`` stays ``007``. ``items`` names a file about items, and ``users`` names a file about
    users. Models may read a text about each user. This text consists of all columns of the users' file except the ids,
    or of the columns in ``profile``. Times are numbers or ISO dates. Without times, the order of the rows is the order
    in time. Files may be compressed: .gz, .bz2, .xz, .zst, or .zip of one file.
    """

    class Config(DatasetConfig):
        """Settings of the files and their columns.

        Relative paths refer to the folder of the suite.
        """

        path: Path | None = Field(
            default=None, description="File of interactions, one per row; needed unless the suite has split: files"
        )
        items: Path | None = Field(default=None, description="File with one row per item")
        users: Path | None = Field(default=None, description="File with one row per user")
        user: str = Field(default="user", description="Column of user ids in the file of interactions")
        item: str = Field(default="item", description="Column of item ids in the file of interactions")
        rating: str | None = Field(
            default=AUTO, description="Column of ratings; auto uses rating if it exists, and null uses none"
        )
        time: str | None = Field(
            default=AUTO, description="Column of times; auto uses time or timestamp, and null uses none"
        )
        separator: str | dict[File, str] | None = Field(
            default=None,
            description="Text between two cells, or such a text per file, as in {items: '|'}; a space means white "
            "space; null means a tab in .tsv and .tab files, :: in .dat files, else a comma",
        )
        header: bool = Field(
            default=True,
            description="Whether the file of interactions names its columns in the first row",
            json_schema_extra=LATER,
        )
        columns: tuple[str, ...] = Field(
            default=("user", "item", "rating", "time"),
            description="Names of the columns of a file of interactions without a header",
            json_schema_extra=LATER,
        )
        encoding: str | dict[File, str] = Field(
            default="utf-8",
            description="Encoding of the files, or one per file, as in {items: latin-1}",
            json_schema_extra=LATER,
        )
        decimal: Literal[".", ","] = Field(
            default=".", description="Decimal separator of ratings and times", json_schema_extra=LATER
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

        @model_validator(mode="after")
        def _check_use(self) -> Self:
            """Checks that every setting has an effect, and that the encodings exist.

            Raises:
                SettingError: if a setting would have no effect, or if an encoding is unknown.
            """
            fields = type(self).model_fields
            for name, needed in NEEDS.items():
                if getattr(self, needed) is None and getattr(self, name) != fields[name].default:
                    raise SettingError(f"{name} describes the file {needed}, which is missing", name, f"{needed}: FILE")
            for one in self.encoding.values() if isinstance(self.encoding, dict) else (self.encoding,):
                if find_encoding(one) is None:
                    raise SettingError(f"no encoding is called '{one}'", "encoding", ENCODINGS)
            paths = _files_of(self)
            if "path" in paths and (unused := find_unused(_changed(self, FORM), paths)):
                name, problem, hint = unused
                raise SettingError(problem, name, hint)
            if self.header and self.columns != fields["columns"].default:
                hint = "with a header, user, item, rating and time name the columns"
                raise SettingError("columns needs header: false", "columns", hint)
            return self

    config: Config
    licence: ClassVar[str] = "the licence of the file"
    source: ClassVar[str] = "your own file"
    files: Mapping[str, Path] = {}  # the file of each part, if the source is split already
    general: ClassVar[bool] = True

    @classmethod
    def recognise(cls, path: Path) -> Mapping[str, Any] | None:
        """Returns the settings of a table of interactions: see ``recognise_table``."""
        return recognise_table(path)

    def with_files(self, files: Mapping[str, Path]) -> CsvFile:
        """Returns a data set that reads one file per part, with the same settings.

        Raises:
            DataError: if no files are given, if ``path`` names a file that would not be read, or if a setting has no
                effect on the files.
        """
        if not files:
            raise DataError("has no files to split by", hint="split: {name: files, train: FILE, test: FILE}")
        if self.config.path is not None:
            raise DataError("path is not read, because the split names the files", hint="leave path out")
        paths = {"path": list(files.values()), **_files_of(self.config)}
        if unused := find_unused(_changed(self.config, FORM), paths):
            _, problem, hint = unused
            raise DataError(problem, hint=hint)
        split = type(self)(self.config)
        split.files = files
        return split

    def fingerprint(self) -> str:
        """Returns the sha256 of the files that ``load`` reads."""
        if self.files:
            return digest_of_parts(self.files, (self.config.items, self.config.users))
        paths = (self._path(), self.config.items, self.config.users)
        return digest_of(path for path in paths if path is not None)

    def _path(self) -> Path:
        path: Path | None = self.config.path
        if path is None:
            raise DataError("missing key 'path'", hint="the file of interactions; only split: files needs no path")
        return path

    def load(self) -> Ratings:
        """Returns the interactions in the order of the rows, with items and users."""
        c = self.config
        table, parts = self._interactions()
        text = format_of(table.path) == "delimited text"
        refused = self._form(table.path).separator_of(table.path) if text else ""
        users, items = table.ids(c.user, "user", refused), table.ids(c.item, "item", refused)
        if not c.header:
            refuse_words(table, users, items, self._header_hint())
        rating = _optional_column(table, c.rating, RATINGS)
        time = _optional_column(table, c.time, TIMES)
        ratings = None if rating is None else table.numbers(rating, "rating", c.decimal)
        times = Times(None) if time is None else read_times(table, time, decimal=c.decimal)
        catalogue, notes = self._catalogue()
        notes = times.notes + notes
        profiles = self._profiles()
        return Ratings(users, items, times.values, ratings, catalogue, profiles, times.ticks, parts, notes, times.scale)

    def _form(self, path: Path) -> Delimited:
        """Returns the separator and the encoding of a file, and advice for messages."""
        c = self.config
        of: File = "items" if path == c.items else "users" if path == c.users else "path"
        separators = c.separator if isinstance(c.separator, dict) else dict.fromkeys(FILES, c.separator)
        encodings = c.encoding if isinstance(c.encoding, dict) else dict.fromkeys(FILES, c.encoding)
        separator, encoding = separators.get(of), encodings.get(of, "utf-8")
        settings = type(c).model_fields.keys()
        if of == "path":
            advice = Advice(settings)
        else:
            others = {"separator": separators.get("path") or "", "encoding": encodings.get("path", "utf-8")}
            advice = Advice(settings - OF_INTERACTIONS, of, others)
        return Delimited(separator, encoding, advice=advice)

    def _interactions(self) -> tuple[Table, NDArray[np.int8] | None]:
        """Returns all rows of interactions, and the part of each row.

        The parts are None if the source is not split.
        """
        c = self.config
        if not self.files:
            return self._read_interactions(self._path()), None
        optional = [name for name in (c.rating, c.time) if name is not None]
        return read_parts(self.files, self._read_interactions, [*optional, *RATINGS, *TIMES])

    def _read_interactions(self, path: Path) -> Table:
        """Returns the table of one file of interactions.

        Raises:
            DataError: if the file cannot be read, lacks a column of users or items, or has a header despite
                ``header: false``.
        """
        c = self.config
        form = replace(
            self._form(path),
            columns=None if c.header else c.columns,
            ids=(c.user, c.item),
            whole=TIMES if c.time == AUTO else (c.time,) if c.time else (),
            real=() if c.decimal == "," else RATINGS if c.rating == AUTO else (c.rating,) if c.rating else (),
        )
        table = read_table(path, form)
        for name, key in ((c.user, "user"), (c.item, "item")):
            if name not in table and (hint := self._form_hint(path, form)):
                raise table.error(f"no column '{name}' for {key}", hint=hint)
            table.check(name, key)
        if not c.header:
            refuse_names(table, c.user, c.item, (*form.whole, *form.real), self._header_hint())
        return table

    def _form_hint(self, path: Path, form: Delimited) -> str:
        """Returns advice to read a file with another separator.

        The result is empty unless another separator gives columns of users and items.
        """
        try:
            found = recognise_table(path) or {}
        except DataError:
            return ""
        if found.get("separator") in (None, form.separator_of(path)):
            return ""
        keys = (key for key in (*FORM, "decimal") if key in found and found[key] != getattr(self.config, key))
        return form.advice.form({key: found[key] for key in keys})

    def _header_hint(self) -> str:
        """Returns advice for a file with a header that the settings do not mention."""
        return "set header: true" + (", and leave columns out" if _changed(self.config, ("columns",)) else "")

    def _column(self, table: Table, key: str) -> str:
        """Returns the name of the column that a setting names.

        If the setting has its default and the table lacks this column, the result is the name of the setting itself.
        """
        name = str(getattr(self.config, key))
        default = name == type(self.config).model_fields[key].default
        return key if default and name not in table else name

    def _catalogue(self) -> tuple[dict[str, Item], tuple[str, ...]]:
        """Returns the description of every item by its id, and notes about the file.

        Both are empty if there is no file about items.
        """
        c = self.config
        if c.items is None:
            return {}, ()
        table = read_table(c.items, self._form(c.items))
        ids = distinct_ids(table, self._column(table, "item_id"), "item_id", "item")
        for key in ("title", "year", "genres", "description"):
            if getattr(c, key) != type(c).model_fields[key].default:
                table.check(getattr(c, key), key)
        items = read_items(table, ids, c.title, c.year, c.genres, c.description, lambda cell: cell.split("|"))
        return items, describe_items(table, c.title, c.year, (c.genres, c.description))

    def _profiles(self) -> dict[str, str]:
        """Returns the text about every user, by the user's id.

        The result is empty if there is no file about users.
        """
        c = self.config
        if c.users is None:
            return {}
        table = read_table(c.users, self._form(c.users))
        name = self._column(table, "user_id")
        ids = distinct_ids(table, name, "user_id", "user")
        chosen = [one for one in table.names if one != name] if c.profile is None else list(c.profile)
        for one in chosen:
            table.check(one, "profile")
        return read_profiles(table, ids, chosen)


def _files_of(config: DatasetConfig) -> dict[str, list[Path]]:
    """Returns the files that the settings name, by setting."""
    return {name: [path] for name in FILES if (path := getattr(config, name)) is not None}


def _changed(config: DatasetConfig, names: Iterable[str]) -> dict[str, object]:
    """Returns the values of the given settings that differ from the default."""
    fields = type(config).model_fields
    return {name: value for name in names if (value := getattr(config, name)) != fields[name].default}


def _optional_column(table: Table, name: str | None, usual: tuple[str, ...]) -> str | None:
    """Returns the column that a setting names, or None if there is none.

    ``auto`` means the first of the usual names that the table has.
    """
    return next((n for n in usual if n in table), None) if name == AUTO else name
