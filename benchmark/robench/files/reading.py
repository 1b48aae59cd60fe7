"""Reads files that may be damaged.

If a file exists but cannot be used, a ``UserError`` names the file and the fault.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from robench.api.errors import UserError

MOST_BYTES = 1 << 32  # the largest size of a file that is read into memory
# With O_NONBLOCK, opening a pipe does not wait for a writer. Some systems lack some of these flags.
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


def read_file(path: Path | str, most: int = MOST_BYTES) -> bytes:
    """Returns the bytes of a file.

    Args:
        path: the path of the file.
        most: the maximum size in bytes.

    Raises:
        FileNotFoundError: if there is no such file.
        UserError: if the file is not a regular file, is too large, or cannot be read.
    """
    try:
        handle = os.open(path, _FLAGS)
        try:
            size = _check_status(os.fstat(handle), path, most)
            return b"".join(iter(lambda: os.read(handle, size + 1), b""))
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path)) from None


def check_file(path: Path, most: int = MOST_BYTES) -> None:
    """Checks that a path is a regular file that is not too large.

    The check is needed because opening a pipe could block forever.

    Args:
        path: the path of the file.
        most: the maximum size in bytes.

    Raises:
        OSError: if the status of the file cannot be read.
        UserError: if the path is not a regular file, or if the file is too large.
    """
    _check_status(os.stat(path), path, most)


def _check_status(status: os.stat_result, path: Path | str, most: int) -> int:
    """Checks the status of a file and returns the size in bytes.

    Raises:
        UserError: if the file is not a regular file, or is larger than ``most`` bytes.
    """
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise UserError(f"{kind}, where a file belongs", where=str(path))
    if status.st_size > most:
        raise UserError(f"too large: {status.st_size} bytes, of at most {most}", where=str(path))
    return status.st_size


def parse_json(content: bytes, where: str) -> Any:
    """Parses a JSON document by stricter rules than those of Python's parser.

    The document must be UTF-8. Within an object, no key may occur twice. NaN and Infinity are not allowed.

    Args:
        content: the bytes of the document.
        where: the name of the file, for error messages.

    Raises:
        UserError: if the document is not valid JSON, breaks one of these rules, is nested too deeply, or contains a
            number with too many digits.
    """
    try:
        return json.loads(content.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError:
        raise UserError("not UTF-8", where=where) from None
    except json.JSONDecodeError as error:
        raise UserError(f"not JSON: {error.msg}", where=f"{where}:{error.lineno}") from None
    except RecursionError:
        raise UserError("not JSON that can be read: nested too deeply", where=where) from None
    except ValueError as error:
        problem = "a number with too many digits" if "digits" in str(error) else str(error)
        raise UserError(f"not JSON that can be read: {problem}", where=where) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in values if names.count(name) > 1)
        raise ValueError(f"{twice[:80]!a} occurs twice in one object")
    return values


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")
