"""Reads files with one JSON object per line."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from robench.api import DataError
from robench_plugins.datasets.reading.advice import Advice
from robench_plugins.datasets.reading.opening import check_text, read_content
from robench_plugins.datasets.reading.table import Table
from robench_plugins.datasets.reading.text import rows_with_lines, to_utf8

JSON_LINES = (".jsonl", ".ndjson", ".json")
LONGEST_LITERAL = 1 << 18  # characters; Python's parser takes about 500 bytes of memory for each


def json_objects(
    path: Path, encoding: str = "utf-8", advice: Advice | None = None, *, literals: bool = False
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the number and the object of every line that is not empty.

    Only one parsed object at a time is in memory. Numbers become strings, so that no digit is lost.

    Args:
        path: the file.
        encoding: the encoding of the file.
        advice: the settings that hints may name.
        literals: whether a line may also be a dict literal of Python, as in Amazon's metadata of 2014.

    Raises:
        DataError: if the file cannot be read, if a line is not an object, or if an object has a key twice.
    """
    raw = read_content(path)
    check_text(raw, path)
    content = to_utf8(raw, encoding, path, advice)
    del raw
    for line, text in rows_with_lines(content):
        if text.strip():
            yield line, _parse(text, f"{path}:{line}", literals)


def table_of_lines(
    path: Path, columns: Mapping[str, Sequence[str | None]], lines: Sequence[int], advice: Advice | None = None
) -> Table:
    """Returns the table with the cells of some lines.

    Args:
        path: the file, for messages.
        columns: the cells of each column, with one cell per line.
        lines: the number of each line in the file.
        advice: the settings that hints may name.

    Raises:
        DataError: if there are no lines, or if a name or a cell contains a lone surrogate.
    """
    if not lines:
        raise DataError("the file is empty", where=str(path))
    try:
        data = pa.table({name: pa.array(cells, pa.string()) for name, cells in columns.items()})
    except UnicodeEncodeError:
        names = "".join(columns)  # a name belongs to no line, and the first stands for it
        bad = next(
            line
            for line, *cells in zip(lines, *columns.values(), strict=True)
            if not _is_whole("".join([names, *filter(None, cells)]))
        )
        raise DataError("half of a character (a lone surrogate)", where=f"{path}:{bad}") from None
    return Table(path, data, lambda row: lines[row], header=False, advice=advice or Advice())


def _is_whole(text: str) -> bool:
    """Returns whether a text contains no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("a key occurs twice")
    return row


DECODER = json.JSONDecoder(parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_without_repeats)


def _parse(text: str, where: str, literals: bool) -> dict[str, Any]:
    """Returns the object of a line, with its numbers as strings.

    Raises:
        DataError: if the line is not an object, or if a key occurs twice.
    """
    try:
        row = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        row = _parse_literal(text) if literals else None
        if row is None:
            problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            if isinstance(error, json.JSONDecodeError):
                problem = f"{error.msg} (character {error.colno})"
            hint = "one object per line" if text.lstrip().startswith("[") or text.strip() == "{" else ""
            raise DataError(f"not JSON: {problem}", where=where, hint=hint) from None
    if not isinstance(row, dict):
        raise DataError("not a JSON object", where=where, hint="one object per line")
    return row


def _parse_literal(text: str) -> dict[str, Any] | None:
    """Returns the value of a Python dict literal, or None for any other text.

    The result is also None for a very long literal. Numbers become strings, except within nested values.
    ``ast.literal_eval`` executes no code. It only builds strings, numbers, lists and the like, and refuses names and
    calls.
    """
    text = text.strip()
    if not text.startswith("{'") or len(text) > LONGEST_LITERAL:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of unknown escapes such as \d
            row = ast.literal_eval(text)
        return {key: str(cell) if isinstance(cell, int | float) else cell for key, cell in row.items()}
    except (ValueError, TypeError, SyntaxError, AttributeError, RecursionError, MemoryError):
        return None
