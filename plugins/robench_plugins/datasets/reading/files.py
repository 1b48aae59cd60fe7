"""Reads a table from a file of any supported format."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from robench.api import DataError
from robench_plugins.datasets.reading.delimited import Delimited, read_delimited
from robench_plugins.datasets.reading.opening import check_text, plain_suffix, read_content
from robench_plugins.datasets.reading.table import Table, check_names
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
        return replace(_read_parquet(path), advice=form.advice)
    return _read_json_lines(path, form) if ending in JSON_LINES else read_delimited(path, form)


def _read_parquet(path: Path) -> Table:
    content = read_content(path)
    try:
        data = pq.ParquetFile(pa.BufferReader(content)).read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"not a Parquet file: {str(error).splitlines()[0]}", where=str(path)) from None
    check_names(data.column_names, str(path))
    if not data.num_rows:
        raise DataError("the file has columns and no rows", where=str(path))
    return Table(path, data, lambda row: row + 1)


def _read_json_lines(path: Path, form: Delimited) -> Table:
    """Returns a table of a file that has one JSON object per line.

    Values become strings. A value that is missing in an object becomes null.
    """
    raw = read_content(path)
    check_text(raw, path)
    content = to_utf8(raw, form.encoding, path, form.advice)
    columns: dict[str, list[str | None]] = {}
    lines: list[int] = []
    for line, text in rows_with_lines(content):
        if not text.strip():
            continue
        row = _parse_row(text, f"{path}:{line}")
        for name, value in row.items():
            if name in form.ids and isinstance(value, list | dict):
                raise DataError(
                    f"the value of '{name}' is no id", where=f"{path}:{line}", hint="write text or a number"
                )
            columns.setdefault(name, [None] * len(lines)).append(_cell(value))
        lines.append(line)
        for values in columns.values():
            if len(values) < len(lines):
                values.append(None)
    if not lines:
        raise DataError("the file is empty", where=str(path))
    data = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    return Table(path, data, lambda row: lines[row], advice=form.advice)


def _parse_row(text: str, where: str) -> dict[str, Any]:
    """Returns the object in a line, with its numbers as strings.

    Raises:
        DataError: if the line is not a JSON object, has a key twice, or contains half of a character.
    """
    try:
        row = json.loads(text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_without_repeats)
        if "\\u" in text:
            json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise DataError("half of a character (a lone surrogate)", where=where) from None
    except (ValueError, RecursionError) as error:
        problem = "not JSON" if isinstance(error, RecursionError) else f"not JSON: {error}"
        hint = "one object per line" if text.lstrip().startswith("[") else ""
        raise DataError(problem, where=where, hint=hint) from None
    if not isinstance(row, dict):
        raise DataError("not a JSON object", where=where, hint="one object per line")
    return row


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a key occurs twice")
    return row


def _cell(value: object) -> str | None:
    """Returns a JSON value as the cell of a table."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return "|".join(filter(None, map(_cell, value)))
    return json.dumps(value, ensure_ascii=False)
