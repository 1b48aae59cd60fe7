"""Reads a table from a file of any supported format."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from robench.api import DataError
from robench_plugins.datasets.reading.delimited import Delimited, read_delimited
from robench_plugins.datasets.reading.json_lines import JSON_LINES, json_objects, table_of_lines
from robench_plugins.datasets.reading.opening import plain_suffix, read_content
from robench_plugins.datasets.reading.table import Table, check_names

PARQUET = (".parquet", ".pq")
INDEX = re.compile(r"__index_level_[0-9]+__", re.ASCII)  # the name that pandas gives to an index without a name


def format_of(path: Path) -> str:
    """Returns ``Parquet``, ``JSON lines``, or ``delimited text``.

    The format is determined by the suffix of the name.
    """
    ending = plain_suffix(path)
    return "Parquet" if ending in PARQUET else "JSON lines" if ending in JSON_LINES else "delimited text"


def read_table(path: Path, form: Delimited) -> Table:
    """Returns the table in a file of any format.

    Raises:
        DataError: if the file cannot be read as such a table.
    """
    kind = format_of(path)
    if kind == "Parquet":
        return replace(_read_parquet(path), advice=form.advice)
    return _read_json_lines(path, form) if kind == "JSON lines" else read_delimited(path, form)


def parquet_names(path: Path) -> list[str]:
    """Returns the names of the columns of a Parquet file.

    An index that pandas wrote is left out.

    Raises:
        DataError: if the file cannot be read, or is not a Parquet file.
    """
    return [name for name in _open_parquet(path).schema_arrow.names if not INDEX.fullmatch(name)]


def _open_parquet(path: Path) -> pq.ParquetFile:
    content = read_content(path)
    try:
        return pq.ParquetFile(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise _no_parquet(path, error) from None


def _no_parquet(path: Path, error: Exception) -> DataError:
    return DataError(f"not a Parquet file: {str(error).splitlines()[0]}", where=str(path))


def _read_parquet(path: Path) -> Table:
    try:
        data = _open_parquet(path).read()
    except (pa.ArrowException, OSError) as error:
        raise _no_parquet(path, error) from None
    check_names(data.column_names, str(path))
    if not data.num_rows:
        raise DataError("the file has columns and no rows", where=str(path))
    data = data.drop_columns([name for name in data.column_names if INDEX.fullmatch(name)])
    return Table(path, data, lambda row: row + 1, header=False)


def _read_json_lines(path: Path, form: Delimited) -> Table:
    """Returns the table in a file that has one JSON object per line.

    Values become strings. A value that is missing in an object becomes null.

    Raises:
        DataError: if the file cannot be read as JSON objects, if an id is a list or an object, or if a value is nested
            too deeply.
    """
    columns: dict[str, list[str | None]] = {}
    lines: list[int] = []
    for line, row in json_objects(path, form.encoding, form.advice):
        for name, value in row.items():
            if name in form.ids and isinstance(value, list | dict):
                raise DataError(
                    f"the value of '{name}' is not an id", where=f"{path}:{line}", hint="write text or a number"
                )
            try:
                columns.setdefault(name, [None] * len(lines)).append(_cell(value))
            except RecursionError:
                raise DataError(f"the value of '{name}' is nested too deeply", where=f"{path}:{line}") from None
        lines.append(line)
        for values in columns.values():
            if len(values) < len(lines):
                values.append(None)
    return table_of_lines(path, columns, lines, form.advice)


def _cell(value: object) -> str | None:
    """Returns a JSON value as the cell of a table.

    The values of a list are joined by bars. An object becomes JSON.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return "|".join(filter(None, map(_cell, value)))
    return json.dumps(value, ensure_ascii=False)
