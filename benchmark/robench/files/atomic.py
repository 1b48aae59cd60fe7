"""Writes files atomically: either the whole file appears, or nothing changes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from robench.api.errors import UserError


@contextmanager
def replacing(path: Path, *, flush: bool = True) -> Iterator[IO[bytes]]:
    """Yields a temporary file that replaces ``path`` at the end of the block.

    The temporary file is in the same folder. At the end of the block, the file is flushed to the disk and renamed.

    Args:
        path: the file that is replaced.
        flush: whether the temporary file is flushed to the disk here. If not, the block must flush the file.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            _make_readable(file.fileno(), name)
            if flush:
                os.fsync(file.fileno())
        if path.is_dir():
            _remove_empty(path)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _make_readable(handle: int, name: str) -> None:
    """Lets every user read a temporary file, which at first only the owner can read."""
    if os.chmod in os.supports_fd:
        os.chmod(handle, 0o644)
    else:
        os.chmod(name, 0o644)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a whole file, or changes nothing."""
    with replacing(path) as file:
        file.write(content)


def _remove_empty(folder: Path) -> None:
    """Removes an empty folder that has the path of a file.

    Raises:
        UserError: if the folder is not empty, because its content may be somebody's work.
    """
    try:
        folder.rmdir()
    except OSError:
        raise UserError("a folder, where a file belongs", where=str(folder), hint="move it away") from None


def write_text(path: Path, text: str) -> None:
    """Writes a string as UTF-8, and keeps the line endings of the string.

    Lone surrogates are written as escapes.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))
