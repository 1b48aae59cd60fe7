"""Sequences of items without times, as many papers publish them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from robench.api import DataError, Dataset, DatasetConfig, Ids, IntArray, Item, Ratings, SettingError
from robench.api.component import LATER
from robench_plugins.datasets.reading.advice import Advice
from robench_plugins.datasets.reading.delimited import Delimited
from robench_plugins.datasets.reading.files import read_table
from robench_plugins.datasets.reading.items import describe_items, distinct_ids, read_items
from robench_plugins.datasets.reading.opening import check_text, digest_of, plain_suffix, read_content
from robench_plugins.datasets.reading.recognition import first_lines, is_usual
from robench_plugins.datasets.reading.text import ENCODINGS, find_encoding, to_utf8
from robench_plugins.datasets.reading.unused import find_unused

TEXTS = (".txt", ".dat", ".data", "")
TABLES = (".tsv", ".tab")
File = Literal["path", "items"]  # the settings that name files
SPACE = b" \t\n\r\x0b\x0c"


class Sequences(Dataset):
    """Reads lines that consist of a user and items, separated by white space.

    Either every user has one line, ``user item item ...``, or every line has one item, ``user item``. The order of the
    items and lines is the order of time. Many papers on sequential recommendation publish their data in one of these
    forms.
    """

    class Config(DatasetConfig):
        """Settings of the files.

        Relative paths refer to the folder of the suite.
        """

        path: Path = Field(description="File of sequences")
        items: Path | None = Field(
            default=None, description="File with one row per item: item, title, year, genres, description"
        )
        encoding: str | dict[File, str] = Field(
            default="utf-8", description="Encoding of the files, or one per file, as in {items: latin-1}"
        )
        separator: str | dict[File, str] | None = Field(
            default=None,
            description="Text between two cells of the file of items, as in {items: ';'}; null means a tab in .tsv and "
            ".tab files, :: in .dat files, else a comma",
            json_schema_extra=LATER,
        )

        @model_validator(mode="after")
        def _check_use(self) -> Self:
            """Checks that every setting has an effect, and that the encodings exist.

            Raises:
                SettingError: if a setting would have no effect, or if an encoding is unknown.
            """
            for one in self.encoding.values() if isinstance(self.encoding, dict) else (self.encoding,):
                if find_encoding(one) is None:
                    raise SettingError(f"no encoding is called '{one}'", "encoding", ENCODINGS)
            given: dict[str, object] = {"encoding": self.encoding} if isinstance(self.encoding, dict) else {}
            if self.separator is not None:
                if isinstance(self.separator, str) or "path" in self.separator:
                    raise SettingError("spaces separate the items of a sequence", "separator", "{items: ';'}")
                given["separator"] = self.separator
            files = {"path": [self.path]} | ({"items": [self.items]} if self.items is not None else {})
            if unused := find_unused(given, files):
                name, problem, hint = unused
                raise SettingError(problem, name, hint)
            return self

        def encoding_of(self, file: File) -> str:
            """Returns the encoding of one of the files."""
            return self.encoding.get(file, "utf-8") if isinstance(self.encoding, dict) else self.encoding

    config: Config
    licence: ClassVar[str] = "the licence of the file"
    source: ClassVar[str] = "your own file"

    @classmethod
    def recognise(cls, path: Path) -> Mapping[str, Any] | None:
        """Returns the settings for a text file with lines of a user and items.

        Either every line is a pair, or the lines have different lengths. No line has a comma, a semicolon or a bar.
        Files that end in .tsv or .tab are usually tables, so their lines must have different lengths and different
        users. The result is None for other files.
        """
        ending = plain_suffix(path)
        lines = first_lines(path) if ending in (*TEXTS, *TABLES) else None
        if lines is None or any(sign in line for line in lines for sign in ",;|"):
            return None
        rows = [line.split() for line in lines]
        widths = set(map(len, rows))
        if ending in TABLES and (len(widths) == 1 or len({row[0] for row in rows}) < len(rows)):
            return None
        return {"path": path} if min(widths) > 1 and (len(widths) > 1 or widths == {2}) else None

    def fingerprint(self) -> str:
        """Returns the sha256 of the files that ``load`` reads."""
        return digest_of(path for path in (self.config.path, self.config.items) if path is not None)

    def load(self) -> Ratings:
        """Returns the interactions in the order of the file, with the items."""
        advice = Advice(("encoding",))
        raw = read_content(self.config.path)
        check_text(raw, self.config.path)
        content = to_utf8(raw, self.config.encoding_of("path"), self.config.path, advice)
        users, items = read_sequences(content, self.config.path)
        catalogue, notes = self._catalogue()
        return Ratings(users, items, catalogue=catalogue, notes=notes)

    def _catalogue(self) -> tuple[dict[str, Item], tuple[str, ...]]:
        """Returns the description of every item by its id, and notes about the file.

        Both are empty if there is no file about items.
        """
        if self.config.items is None:
            return {}, ()
        advice = Advice(("encoding", "separator"), "items", {"encoding": self.config.encoding_of("path")})
        separator = self.config.separator.get("items") if isinstance(self.config.separator, dict) else None
        form = Delimited(separator, self.config.encoding_of("items"), advice=advice)
        table = read_table(self.config.items, form)
        name = "item" if "item" in table or "item_id" not in table else "item_id"
        ids = distinct_ids(table, name, "item", "item")
        items = read_items(table, ids, "title", "year", "genres", "description", lambda cell: cell.split("|"))
        return items, describe_items(table, "title", "year", ("genres", "description"))


def read_sequences(content: bytes, path: Path) -> tuple[Ids, Ids]:
    """Returns the user and the item of every interaction.

    Args:
        content: the text of the file, in UTF-8.
        path: the file, for messages.

    Raises:
        DataError: if the file is empty or begins with a header, if a line has no item, or if a user has several lines
            although some line has several items.
    """
    text = np.frombuffer(content, dtype=np.uint8)
    spaces = np.isin(text, np.frombuffer(SPACE, dtype=np.uint8))
    begins = ~spaces & np.append(True, spaces[:-1]) if len(text) else np.zeros(0, dtype=bool)
    starts = np.flatnonzero(begins)
    if not len(starts):
        raise DataError("the file is empty", where=str(path))
    line = np.cumsum(_line_ends(text))[starts]
    first = np.append(True, np.diff(line) > 0)
    words = _words(text, spaces, starts)
    counts = np.diff(np.append(np.flatnonzero(first), len(starts))) - 1
    if (counts == 0).any():
        row = int(np.flatnonzero(counts == 0)[0])
        raise DataError("a line with a user and no item", where=f"{path}:{int(line[first][row]) + 1}")
    user, item = words[0].as_py(), words[1].as_py()
    if (counts == 1).all() and is_usual(user, "user") and is_usual(item, "item"):
        problem = f"the first line looks like a header: {user} {item}"
        raise DataError(problem, where=f"{path}:{int(line[0]) + 1}", hint="remove it")
    users = words.filter(pa.array(first)).dictionary_encode()
    codes = users.indices.to_numpy()
    _check_form(codes, counts, users.dictionary, line[first], path)
    items = words.filter(pa.array(~first)).dictionary_encode()
    return (
        Ids(np.repeat(codes, counts), users.dictionary.to_pylist()),
        Ids(items.indices.to_numpy(), items.dictionary.to_pylist()),
    )


def _line_ends(text: NDArray[np.uint8]) -> NDArray[np.bool_]:
    r"""Returns a mask of the bytes at which a line ends: ``\n``, ``\r\n`` or ``\r``."""
    returns, newlines = text == ord("\r"), text == ord("\n")
    ends: NDArray[np.bool_] = newlines | (returns & ~np.append(newlines[1:], False))
    return ends


def _words(text: NDArray[np.uint8], spaces: NDArray[np.bool_], starts: IntArray) -> pa.Array:
    """Returns the words of a text, as an array of strings.

    Args:
        text: the bytes of the text.
        spaces: whether each byte is white space.
        starts: the first byte of each word.
    """
    letters = np.cumsum(~spaces)
    offsets = np.append(letters[starts] - 1, letters[-1]).astype(np.int64)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(text[~spaces])]
    return pa.Array.from_buffers(pa.large_string(), len(starts), buffers)


def _check_form(codes: IntArray, counts: IntArray, names: pa.Array, lines: IntArray, path: Path) -> None:
    """Checks that no user has several lines if some line has several items.

    A file with such a user is probably a table with further columns.

    Args:
        codes: the user of each line, as an index into ``names``, int64 [lines].
        counts: the number of items of each line, int64 [lines].
        names: the distinct users.
        lines: the number of each line in the file, from 0, int64 [lines].
        path: the file, for messages.

    Raises:
        DataError: if there is such a user.
    """
    if (counts == 1).all() or len(names) == len(codes):
        return
    again = np.ones(len(codes), dtype=bool)
    again[np.unique(codes, return_index=True)[1]] = False
    row = int(np.flatnonzero(again)[0])
    name = names[int(codes[row])].as_py()
    problem = f"user '{name}' has a second line, and there are lines with several items"
    hint = "a table of user, item, rating and time is read by csv with separator: ' ' and header: false"
    raise DataError(problem, where=f"{path}:{int(lines[row]) + 1}", hint=hint)
