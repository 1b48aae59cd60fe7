"""Reads some fields of large files with one JSON object per line."""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robench.api import DataError
from robench_plugins.datasets.reading.opening import read_content


def json_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the number and the object of every line that is not empty.

    Only one object at a time is in memory. Numbers stay strings, so that no digit is lost. Lines that are literals of
    Python, as in Amazon's metadata of 2014, are read too.

    Raises:
        DataError: if the file cannot be read, or if a line is no object.
    """
    with io.BytesIO(read_content(path)) as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield number, _parse(line, f"{path}:{number}")


def _parse(line: bytes, where: str) -> dict[str, Any]:
    """Returns the object of a line."""
    try:
        text = line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 at byte {error.start} of the line", where=where) from None
    try:
        row = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        row = _literal(text)
        if row is None:
            problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise DataError(f"not JSON: {problem}", where=where) from None
    if not isinstance(row, dict):
        raise DataError("not a JSON object", where=where, hint="one object per line")
    return row


def _literal(text: str) -> Any:
    """Returns the value of a Python dict literal, or None for any other text."""
    if not text.lstrip().startswith("{'"):
        return None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
