"""Writes files atomically: either completely or not at all."""

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

    The temporary file is in the same folder. At the end of the block, the temporary file is flushed to the disk and
    renamed to ``path``. If the block fails, the temporary file is removed, and ``path`` stays as it was. An empty
    folder at ``path`` is replaced.

    Args:
        path: the path of the file to replace, which need not exist.
        flush: whether to flush the temporary file to the disk. If not, the block must flush the file.

    Raises:
        UserError: if ``path`` is a folder that is not empty.
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
    """Allows every user to read a temporary file.

    Temporary files are created so that only the owner can read them.
    """
    if os.chmod in os.supports_fd:
        os.chmod(handle, 0o644)
    else:
        os.chmod(name, 0o644)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file atomically."""
    with replacing(path) as file:
        file.write(content)


def _remove_empty(folder: Path) -> None:
    """Removes an empty folder at the path where a file will be written.

    Raises:
        UserError: if the folder is not empty. The content may be a user's work.
    """
    try:
        folder.rmdir()
    except OSError:
        raise UserError("a folder, where a file belongs", where=str(folder), hint="move it away") from None


def write_text(path: Path, text: str) -> None:
    """Writes a string to a file atomically, as UTF-8 and with unchanged line endings.

    Lone surrogates are written as escapes.
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))
