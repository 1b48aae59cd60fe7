"""Brings the files of a task to a worker that lacks them in its cache.

The payload of a task lists the path of each file below the cache, and the file's sha256.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

PIECE = 8 << 20  # the largest size of a piece in bytes


def find_lacking(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Returns the names of files that are missing or have different content.

    Args:
        folder: the cache of this machine.
        files: the sha256 of each file, by its path below the cache.
    """
    return [name for name, sha256 in files.items() if _sha256(folder / name) != sha256]


def read_pieces(path: Path) -> Iterator[bytes]:
    """Yields the content of a file in pieces, followed by an empty piece."""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece
    yield b""


def write_pieces(path: Path, pieces: Iterable[bytes]) -> None:
    """Writes a file from its pieces, up to the first empty piece.

    The file is written either completely or not at all.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".tmp")
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in pieces:
                if not piece:
                    break
                file.write(piece)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
