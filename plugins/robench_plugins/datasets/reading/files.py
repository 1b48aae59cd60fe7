"""Reads a table from a file of any supported format."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from robench.api import DataError
from robench_plugins.datasets.reading.delimited import Delimited, read_delimited
from robench_plugins.datasets.reading.opening import plain_suffix, read_content
from robench_plugins.datasets.reading.table import Table
from robench_plugins.datasets.reading.text import rows_with_lines, to_utf8

JSON_LINES = (".jsonl", ".ndjson", ".json")


def read_table(path: Path, form: Delimited) -> Table:
    """Returns the table in a file.

    The ending of the name chooses Parquet or JSON lines. Other files are delimited text.

    Raises:
        DataError: if the file cannot be read as such a table.
    """
    ending = plain_suffix(path)
    if ending in (".parquet", ".pq"):
        return _read_parquet(path)
    return _read_json_lines(path, form) if ending in JSON_LINES else read_delimited(path, form)


def _read_parquet(path: Path) -> Table:
    content = read_content(path)
    try:
        data = pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"not a Parquet file: {str(error).splitlines()[0]}", where=str(path)) from None
    if not data.num_rows:
        raise DataError("the file has columns and no rows", where=str(path))
    return Table(path, data, lambda row: row + 1)


def _read_json_lines(path: Path, form: Delimited) -> Table:
    """Returns a table of a file that has one JSON object per line.

    Every value is a string, or null if the object lacks it.
    """
    content = to_utf8(read_content(path), form.encoding, path)
    columns: dict[str, list[str | None]] = {}
    lines: list[int] = []
    for line, text in rows_with_lines(content, None):
        if not text.strip():
            continue
        try:
            row = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
        except (ValueError, RecursionError) as error:
            problem = "not JSON" if isinstance(error, RecursionError) else f"not JSON: {error}"
            raise DataError(problem, where=f"{path}:{line}") from None
        if not isinstance(row, dict):
            raise DataError("not a JSON object", where=f"{path}:{line}", hint="one object per line")
        for name, value in row.items():
            columns.setdefault(name, [None] * len(lines)).append(_cell(value))
        lines.append(line)
        for values in columns.values():
            if len(values) < len(lines):
                values.append(None)
    if not lines:
        raise DataError("the file is empty", where=str(path))
    data = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    return Table(path, data, lambda row: lines[row])


def _cell(value: object) -> str | None:
    """Returns a JSON value as the cell of a table."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return "|".join(filter(None, map(_cell, value)))
    return json.dumps(value, ensure_ascii=False)
