"""Delimited text files, read into tables.

Every mistake in a file is reported with its line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from robench.api import DataError, FloatArray, IntArray
from robench.api.errors import did_you_mean, suggest

TIME_LIMIT = 2.0**63  # the smallest time that does not fit into 64 bits


def digest_of(paths: Iterable[Path]) -> str:
    """Returns one sha256 digest for the content of several files, in hexadecimal.

    Raises:
        DataError: if a file cannot be opened.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            raise _unreadable(path, error) from None
    return digest.hexdigest()


def read_table(path: Path, separator: str) -> pd.DataFrame:
    """Returns the table in a file, with every cell as text and empty cells as NaN.

    Raises:
        DataError: if the file is missing, empty, ragged or not UTF-8, or if two columns share a name.
    """
    options: dict[str, Any] = {"sep": separator, "dtype": str, "keep_default_na": False, "na_values": [""]}
    try:
        header = pd.read_csv(path, header=None, nrows=1, encoding="utf-8", **options)
        check_header(header.iloc[0].dropna(), path)
        table: pd.DataFrame = pd.read_csv(path, encoding="utf-8", **options)
    except OSError as error:
        raise _unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 at byte {error.start}", where=str(path)) from None
    except pd.errors.EmptyDataError:
        raise DataError("the file is empty", where=str(path)) from None
    except pd.errors.ParserError as error:
        raise DataError(f"not a table: {str(error).splitlines()[0]}", where=str(path)) from None
    if not isinstance(table.index, pd.RangeIndex):
        raise DataError("the rows have more fields than the header", where=str(path))
    if table.empty:
        raise DataError("the file has a header and no rows", where=str(path))
    return table


def check_header(names: Iterable[str], path: Path) -> None:
    """Refuses a header in which two columns share a name.

    Raises:
        DataError: if two columns share a name.
    """
    known: set[str] = set()
    for name in names:
        if name in known:
            raise DataError(f"two columns are named '{name}'", where=f"{path}:1")
        known.add(name)


def check_column(table: pd.DataFrame, name: str, path: Path, key: str) -> None:
    """Refuses the name of a column that the table does not have.

    Args:
        table: the table of a file.
        name: the column.
        path: the file.
        key: the setting that names the column.

    Raises:
        DataError: if the table has no such column.
    """
    if name not in table:
        raise DataError(f"no column '{name}' for {key}", where=f"{path}:1", hint=did_you_mean(name, map(str, table)))


def full_column(table: pd.DataFrame, name: str, path: Path, key: str) -> pd.Series[str]:
    """Returns a column, after checking that no cell is empty.

    Args:
        table: the table of a file.
        name: the column.
        path: the file.
        key: the setting that names the column.

    Raises:
        DataError: if the table has no such column, or if a cell is empty.
    """
    check_column(table, name, path, key)
    values = table[name]
    if values.isna().any():
        raise DataError(f"an empty {key}", where=f"{path}:{_line(values.isna().to_numpy())}")
    return values


def parse_numbers(values: pd.Series[str], path: Path, key: str, problem: str = "is not a number") -> FloatArray:
    """Returns the cells as finite numbers, float64.

    Args:
        values: the cells of a column.
        path: the file.
        key: the setting that names the column.
        problem: the message for a cell that is not a finite number.

    Raises:
        DataError: if a cell is not a finite number.
    """
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise DataError(f"{key} '{values.iloc[row]}' {problem}", where=f"{path}:{row + 2}")
    return numbers


def parse_seconds(values: pd.Series[str], path: Path, key: str) -> IntArray:
    """Returns the cells as non-negative times in whole seconds, int64.

    Args:
        values: the cells of a column.
        path: the file.
        key: the setting that names the column.

    Raises:
        DataError: if a cell is not a number, is negative or is too large.
    """
    times = parse_numbers(values, path, key, "must be a number (seconds)")
    if (times < 0).any():
        raise DataError(f"{key} {times[times < 0][0]:g} is negative", where=f"{path}:{_line(times < 0)}")
    too_large = times >= TIME_LIMIT
    if too_large.any():
        raise DataError(f"{key} {times[too_large][0]:g} is too large", where=f"{path}:{_line(too_large)}")
    return times.astype(np.int64)


def parse_year(value: object) -> int | None:
    """Returns the year in a cell, or None if the cell holds anything but digits."""
    return int(str(value)) if str(value).isdigit() else None


def _unreadable(path: Path, error: OSError) -> DataError:
    """Returns the error for a file that cannot be opened.

    The hint suggests files with similar names in the same folder.
    """
    hint = ""
    if isinstance(error, FileNotFoundError):
        found = path.parent.is_dir()
        near = suggest(path.name, {p.name: p.name for p in path.parent.iterdir()}) if found else ""
        hint = near if found else f"there is no folder {path.parent}"
    problem = "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)
    return DataError(problem, where=str(path), hint=hint)


def _line(rows: NDArray[np.bool_]) -> int:
    """Returns the line number of the first row that is True.

    The header is line 1.
    """
    return int(np.flatnonzero(rows)[0]) + 2
