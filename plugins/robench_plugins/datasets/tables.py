"""Reading delimited text: what a person got wrong is said in one line with the place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from robench.api import DataError, FloatArray, IntArray
from robench.api.errors import did_you_mean

LATEST = 2.0**63  # beyond the whole numbers of 64 bits


def digest(paths: Iterable[Path]) -> str:
    """sha256 over the bytes of some files.

    Raises:
        DataError: one is missing.
    """
    found = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    found.update(block)
        except OSError as error:
            raise missing(path, error) from None
    return found.hexdigest()


def missing(path: Path, error: OSError) -> DataError:
    """A file that cannot be opened, with the nearest name of its folder."""
    hint = ""
    if isinstance(error, FileNotFoundError) and path.parent.is_dir():
        hint = did_you_mean(path.name, (p.name for p in path.parent.iterdir()), most=5)
    return DataError(
        "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror), where=str(path), hint=hint
    )


def read(path: Path, separator: str) -> pd.DataFrame:
    """Every cell as text; an empty cell is NaN.

    Raises:
        DataError: missing, empty, ragged, not UTF-8, or a column that is named twice.
    """
    form: dict[str, Any] = {"sep": separator, "dtype": str, "keep_default_na": False, "na_values": [""]}
    try:
        header = pd.read_csv(path, header=None, nrows=1, encoding="utf-8", **form)
        named_once(header.iloc[0].dropna(), path)
        table: pd.DataFrame = pd.read_csv(path, encoding="utf-8", **form)
    except OSError as error:
        raise missing(path, error) from None
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


def named_once(names: Iterable[str], path: Path) -> None:
    """Refuse a header in which two columns share a name.

    Raises:
        DataError: they do.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DataError(f"two columns are named '{name}'", where=f"{path}:1")
        seen.add(name)


def column(table: pd.DataFrame, name: str, path: Path, key: str) -> pd.Series[str]:
    """A column that must be there and whole.

    Raises:
        DataError: unknown column, or an empty cell.
    """
    if name not in table:
        raise DataError(f"no column '{name}' for {key}", where=f"{path}:1", hint=did_you_mean(name, map(str, table)))
    values = table[name]
    if values.isna().any():
        raise DataError(f"an empty {key}", where=f"{path}:{_line(values.isna().to_numpy())}")
    return values


def numbers(values: pd.Series[str], path: Path, key: str, problem: str = "is not a number") -> FloatArray:
    """Finite numbers, float64.

    Args:
        problem: what is said of another cell.

    Raises:
        DataError: a cell that is not one.
    """
    found = pd.to_numeric(values, errors="coerce").to_numpy(np.float64)
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found))[0])
        raise DataError(f"{key} '{values.iloc[row]}' {problem}", where=f"{path}:{row + 2}")
    return found


def seconds(values: pd.Series[str], path: Path, key: str) -> IntArray:
    """Times as whole seconds, not negative, int64.

    Raises:
        DataError: a cell that is not one.
    """
    found = numbers(values, path, key, "must be a number (seconds)")
    if (found < 0).any():
        raise DataError(f"{key} {found[found < 0][0]:g} is negative", where=f"{path}:{_line(found < 0)}")
    late = found >= LATEST
    if late.any():
        raise DataError(f"{key} {found[late][0]:g} is too large", where=f"{path}:{_line(late)}")
    return found.astype(np.int64)


def _line(wrong: NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(wrong)[0]) + 2
