"""A table that is read from a file, and functions for its columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from robench.api import DataError, FloatArray, Ids, IntArray
from robench.api.errors import did_you_mean
from robench_plugins.datasets.reading.advice import Advice

DATA_LIKE = re.compile(r"[-+]?[0-9.,:TZ /-]+")
WITH_COMMA = re.compile(r"[-+]?[0-9]*,[0-9]+([eE][-+]?[0-9]+)?")
GROUPED = re.compile(r"[-+]?[0-9]{1,3}(([. '’][0-9]{3})+,[0-9]+|([, '’][0-9]{3})+\.[0-9]+)")
SHOWN = 60  # the most characters of a cell in a message


@dataclass(frozen=True, eq=False)
class Table:
    """The cells of a file.

    Args:
        path: the file.
        data: the columns. Their types depend on the format of the file. An empty cell is an empty string or null.
        line_of: a function from the number of a row, starting at 0, to its line in the file.
        header: whether the first row of the file names its columns.
        advice: the settings that hints may name.
    """

    path: Path
    data: pa.Table
    line_of: Callable[[int], int]
    header: bool = True
    advice: Advice = field(default_factory=Advice)

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [str(name) for name in self.data.column_names]

    def __len__(self) -> int:
        """Returns the number of rows."""
        return int(self.data.num_rows)

    def __contains__(self, name: object) -> bool:
        """Returns whether there is a column of this name."""
        return name in self.names

    def error(self, problem: str, row: int | None = None, hint: str = "") -> DataError:
        """Returns an error with the file and the line of a row.

        If ``row`` is None, the line is 1.
        """
        return DataError(problem, where=f"{self.path}:{1 if row is None else self.line_of(row)}", hint=hint)

    def check(self, name: str, key: str) -> None:
        """Checks that the table has a column.

        Args:
            name: the name of the column.
            key: the setting that names the column.

        Raises:
            DataError: if the table has no such column.
        """
        if name in self:
            return
        hint = "; ".join(filter(None, (did_you_mean(name, self.names), self.advice.column(key))))
        if self.header and any(DATA_LIKE.fullmatch(cell) for cell in self.names):
            hint = self.advice.missing_header()
        raise self.error(f"no column '{name}' for {key}", hint=hint)

    def column(self, name: str, key: str) -> pa.ChunkedArray:
        """Returns a column, after checking that no cell is empty.

        Raises:
            DataError: if the table has no such column, or if a cell is empty.
        """
        self.check(name, key)
        column = self.data[name]
        empty = column.is_null()
        if is_text(column.type):
            text = column.cast(pa.large_string()) if not pa.types.is_dictionary(column.type) else column
            empty = pc.or_kleene(empty, equals(text, ""))
        if (row := first_true(empty)) is not None:
            if pc.all(empty).as_py():
                raise self.error(f"an empty {key}, as in all rows", row, self.advice.null(key))
            raise self.error(f"an empty {key}", row)
        return column

    def texts(self, name: str) -> list[str]:
        """Returns the cells of a column as strings.

        A missing cell, or a missing column, gives empty strings.
        """
        if name not in self:
            return [""] * len(self)
        return ["" if cell is None else _text(cell) for cell in self.data[name].to_pylist()]

    def ids(self, name: str, key: str, refused: str = "") -> Ids:
        """Returns a column of ids in their original spelling.

        Args:
            name: the column.
            key: the setting that names the column.
            refused: the characters, such as the separator, that an id must not contain. Line breaks and NUL are always
                refused.

        Raises:
            DataError: if there is no such column, or if a cell is empty or not an id.
        """
        column = self.column(name, key)
        if pa.types.is_signed_integer(column.type):
            return _number_codes(column)
        if not pa.types.is_dictionary(column.type):
            column = self._as_text(column, key).dictionary_encode()
        elif not is_text(column.type):
            column = self._as_text(column.cast(column.type.value_type), key).dictionary_encode()
        whole = column.unify_dictionaries().combine_chunks()
        if isinstance(whole, pa.ChunkedArray):
            whole = whole.chunk(0)
        names = [str(value) for value in whole.dictionary.to_pylist()]
        codes = whole.indices.to_numpy(zero_copy_only=False)
        signs = f"\r\n\0{refused}"
        bad = next((i for i, value in enumerate(names) if value.isspace() or any(map(value.__contains__, signs))), None)
        if bad is not None:
            problem = "holds a line break or a separator" if names[bad].strip() else "is blank"
            raise self.error(f"the {key} {shortened(names[bad])} {problem}", int(np.flatnonzero(codes == bad)[0]))
        return Ids(codes, names)

    def _as_text(self, column: pa.ChunkedArray, key: str) -> pa.ChunkedArray:
        """Returns a column of ids as strings.

        Raises:
            DataError: if the column holds values that are not ids, such as lists or fractions.
        """
        kind = column.type
        if is_text(kind):
            return column
        try:
            if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
                raise pa.ArrowNotImplementedError
            return column.cast(pa.string())
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
            raise self.error(f"the column of {key}s holds {kind}, which are not ids", hint="write text") from None

    def numbers(self, name: str, key: str, decimal: str = ".") -> FloatArray:
        """Returns a column of finite numbers, float64.

        Args:
            name: the column.
            key: the setting that names the column.
            decimal: the decimal separator.

        Raises:
            DataError: if there is no such column, or if a cell is not a finite number.
        """
        column = self.column(name, key)
        numbers = to_floats(column, decimal)
        if not np.isfinite(numbers).all():
            row = int(np.flatnonzero(~np.isfinite(numbers))[0])
            cell = _text(column[row].as_py())
            hint = self._number_hint(cell, decimal)
            raise self.error(f"{key} {shortened(cell)} is not a number", row, hint)
        return numbers

    def _number_hint(self, cell: str, decimal: str) -> str:
        """Returns advice on a cell that is not a number, or an empty string."""
        if GROUPED.fullmatch(cell.strip()):
            advice = self.advice.decimal() if decimal == "." and cell.rfind(",") > cell.rfind(".") else ""
            return "; ".join(filter(None, ("remove the separators of thousands", advice)))
        return self.advice.decimal() if decimal == "." and WITH_COMMA.fullmatch(cell.strip()) else ""


def _number_codes(column: pa.ChunkedArray) -> Ids:
    """Returns a column of whole numbers as ids.

    If the numbers lie close together, they are converted chunk by chunk, because fresh memory for all rows takes longer
    than the conversion.
    """
    least, most = (int(value) for value in pc.min_max(column).as_py().values())
    if most - least >= 4 * len(column):
        distinct, codes = np.unique(column.to_numpy(), return_inverse=True)
        return Ids(codes, [str(value) for value in distinct.tolist()])
    least = min(least, 0) if least < len(column) else least  # an offset of 0 saves the subtraction
    chunks = [np.asarray(chunk.to_numpy()) for chunk in column.chunks]
    present = np.zeros(most - least + 1, dtype=bool)
    for chunk in chunks:
        present[chunk - least if least else chunk] = True
    numbers = np.cumsum(present, dtype=np.int32 if len(present) < 2**31 else np.int64) - 1
    codes, end = np.empty(len(column), dtype=numbers.dtype), 0
    for chunk in chunks:
        codes[end : end + len(chunk)] = numbers[chunk - least if least else chunk]
        end += len(chunk)
    return Ids(codes, [str(value + least) for value in np.flatnonzero(present).tolist()])


def is_text(kind: pa.DataType) -> bool:
    """Returns whether a column of this type holds strings."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def to_floats(column: pa.ChunkedArray, decimal: str = ".") -> FloatArray:
    """Returns the cells as numbers, float64.

    A cell that is not a number becomes NaN.
    """
    if not is_text(column.type):
        try:
            return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            return np.full(len(column), np.nan)
    column = pc.ascii_trim_whitespace(column.cast(pa.large_string()))
    if decimal != ".":
        dotted = pc.match_substring(column, ".")
        column = pc.if_else(dotted, "", pc.replace_substring(column, decimal, "."))
    fine = pc.match_substring_regex(column, r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$")
    plain = pc.utf8_ltrim(column, "+")
    numbers = pc.if_else(fine, plain, "nan").cast(pa.float64())
    return np.asarray(numbers.to_numpy(), dtype=np.float64)


def to_whole(column: pa.ChunkedArray) -> IntArray:
    """Returns a column of signed integers as int64."""
    values, end = np.empty(len(column), dtype=np.int64), 0
    for chunk in column.chunks:
        values[end : end + len(chunk)] = chunk.to_numpy()
        end += len(chunk)
    return values


def first_true(rows: pa.ChunkedArray | NDArray[np.bool_]) -> int | None:
    """Returns the index of the first row that is true, or None."""
    place = pc.index(rows, True).as_py() if isinstance(rows, pa.ChunkedArray | pa.Array) else -1
    return None if place < 0 else int(place)


def shortened(cell: Any) -> str:
    """Returns a cell in quotes for a message, cut if it is long."""
    text = _text(cell)
    return f"'{text[:SHOWN]}…'" if len(text) > SHOWN else f"'{text}'"


def check_names(names: Iterable[str], where: str) -> None:
    """Checks that no two columns share a name.

    Raises:
        DataError: if two columns share a name.
    """
    known: set[str] = set()
    for name in names:
        if name in known:
            raise DataError(f"two columns are named '{name}'", where=where)
        known.add(name)


def equals(column: pa.ChunkedArray, text: str) -> pa.ChunkedArray:
    """Returns whether each cell of a column of strings is a text."""
    if pa.types.is_dictionary(column.type):
        chunks = [
            pc.take(pc.equal(chunk.dictionary, text), chunk.indices)
            if len(chunk.dictionary)
            else pa.array([], pa.bool_())
            for chunk in column.chunks
        ]
        return pa.chunked_array(chunks, pa.bool_())
    return pc.equal(column, text)


def _text(cell: Any) -> str:
    """Returns a cell as a string.

    The values of a list are joined by a bar.
    """
    if isinstance(cell, list | tuple):
        return "|".join(_text(part) for part in cell if part is not None)
    return str(cell)
