"""Joins the tables of training, validation and test files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from robench.api import DataError
from robench.api.dataset import PARTS
from robench_plugins.datasets.reading.opening import digest_of
from robench_plugins.datasets.reading.table import Table


@dataclass(frozen=True, eq=False)
class JoinedTable(Table):
    """The rows of several files, one after another.

    Args:
        tables: the table of each file.
    """

    tables: tuple[Table, ...] = ()

    def error(self, problem: str, row: int | None = None, hint: str = "") -> DataError:
        """Returns an error with the file and the line of a row.

        If ``row`` is None, the error names the first file.

        Raises:
            IndexError: if there is no such row.
        """
        if row is None:
            return self.tables[0].error(problem, None, hint)
        for table in self.tables:
            if row < len(table):
                return table.error(problem, row, hint)
            row -= len(table)
        raise IndexError("no such row")


def read_parts(
    files: Mapping[str, Path], read: Callable[[Path], Table], columns: Iterable[str]
) -> tuple[Table, NDArray[np.int8]]:
    """Reads the file of each part and returns all rows and their parts.

    Args:
        files: the file of each part.
        read: a function that reads one file.
        columns: the names of columns that must be in every file or in none.

    Returns:
        The rows of all files, with the columns that all files have, and the part of each row, int8 [n].

    Raises:
        DataError: if a file cannot be read, if it lacks one of these columns that another file has, or if columns of
            one name have types that no common type can hold.
    """
    tables = {PARTS.index(name): read(files[name]) for name in PARTS if name in files}
    for name in columns:
        having = [table for table in tables.values() if name in table]
        for table in tables.values():
            if having and name not in table:
                raise table.error(f"no column '{name}', which {having[0].path.name} has")
    first = next(iter(tables.values()))
    names = [name for name in first.names if all(name in table for table in tables.values())]
    try:
        alike = _alike([table.data.select(names) for table in tables.values()])
        data = pa.concat_tables(alike)
    except pa.ArrowException as error:
        problem = f"its columns are of another type than those of {first.path.name}: {str(error).splitlines()[0]}"
        raise list(tables.values())[-1].error(problem) from None
    parts = np.concatenate([np.full(len(table), number, dtype=np.int8) for number, table in tables.items()])
    return JoinedTable(first.path, data, first.line_of, first.header, first.advice, tuple(tables.values())), parts


def _alike(tables: list[pa.Table]) -> list[pa.Table]:
    """Returns the tables with equal types in each column.

    The given types may differ if the files have different formats, or if only one file has times with fractions. Types
    that differ become int64 if all are signed integers, and otherwise text. As text, a value keeps all of its digits.
    """
    names = tables[0].column_names
    kinds = {name: _common_type([table.schema.field(name).type for table in tables]) for name in names}
    return [pa.table({name: _cast(table[name], kind) for name, kind in kinds.items()}) for table in tables]


def _common_type(kinds: list[pa.DataType]) -> pa.DataType:
    """Returns a type that holds the values of all given types without loss."""
    if all(kind == kinds[0] for kind in kinds):
        return kinds[0]
    return pa.int64() if all(map(pa.types.is_signed_integer, kinds)) else pa.large_string()


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(kind)


def digest_of_parts(files: Mapping[str, Path], others: Iterable[Path | None]) -> str:
    """Returns one digest for the files of all parts and for other files.

    Raises:
        DataError: if a file cannot be read.
    """
    digests = [f"{name} {digest_of([files[name]])}" for name in PARTS if name in files]
    return hashlib.sha256(
        " ".join([*digests, digest_of(path for path in others if path is not None)]).encode()
    ).hexdigest()
