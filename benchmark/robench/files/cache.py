"""The cache of results that are expensive to compute and depend only on their key: data, profiles, checkpoints.

A key hashes everything that the result depends on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from robench.api.errors import UserError
from robench.files.atomic import write_bytes
from robench.files.sources import Sources

Arrays = Mapping[str, NDArray[Any]]


class Entry(NamedTuple):
    """The content of one key: arrays, and notes as JSON."""

    arrays: dict[str, NDArray[Any]]
    notes: dict[str, Any]


def default_folder() -> Path:
    """Returns the folder of the cache: ``ROBENCH_CACHE``, or ``~/.cache/robench``."""
    return Path(os.environ.get("ROBENCH_CACHE") or Path.home() / ".cache" / "robench")


def read_entry(path: Path) -> Entry:
    """Reads the file of an entry.

    Raises:
        OSError: if the file cannot be read.
        SafetensorError: if the file is not a complete safetensors file.
        json.JSONDecodeError: if the notes are not JSON.
    """
    with safe_open(path, framework="numpy") as file:
        notes = json.loads((file.metadata() or {}).get("notes", "{}"))
        return Entry({name: file.get_tensor(name) for name in file.keys()}, notes)  # noqa: SIM118  # not a dict


class Cache:
    """A folder of entries as safetensors files. Nothing is ever unpickled.

    Args:
        folder: the folder, which is created at the first write.

    Attributes:
        sources: the digests of code, for keys.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources = Sources()

    def check(self) -> None:
        """Checks that the folder can be written, before any work.

        Raises:
            UserError: if the path is a file, or if the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise UserError(
                f"the cache cannot be written: {error.strerror}",
                where=str(self.folder),
                hint="set ROBENCH_CACHE to a folder of yours",
            ) from None

    def path(self, kind: str, key: str) -> Path:
        """Returns the path of an entry, which need not exist."""
        return self.folder / kind / key[:2] / f"{key}.safetensors"

    def read(self, kind: str, key: str) -> Entry | None:
        """Returns an entry, or None if it is missing or damaged."""
        try:
            return read_entry(self.path(kind, key))
        except (FileNotFoundError, SafetensorError, json.JSONDecodeError):
            return None

    def write(self, kind: str, key: str, arrays: Arrays, notes: Mapping[str, Any]) -> None:
        """Stores an entry atomically."""
        path = self.path(kind, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {name: np.ascontiguousarray(part) for name, part in arrays.items()}
        write_bytes(path, save(whole, {"notes": json.dumps(dict(notes))}))

    def get(self, kind: str, key: str, make: Callable[[], tuple[Arrays, Mapping[str, Any]]]) -> Entry:
        """Returns an entry, which is made first if it is missing.

        If several processes need it at the same time, only one makes it.

        Args:
            kind: the folder of similar entries.
            key: the digest of everything that the entry depends on.
            make: the function that computes the arrays and the notes.
        """
        entry = self.read(kind, key)
        if entry is None:
            with self.alone(kind, key):
                entry = self.read(kind, key)
                if entry is None:
                    arrays, notes = make()
                    self.write(kind, key, arrays, notes)
                    entry = Entry(dict(arrays), dict(notes))
        return entry

    @contextmanager
    def alone(self, kind: str, key: str) -> Iterator[None]:
        """Holds the lock of an entry. The operating system releases it if the process is killed."""
        try:
            import fcntl  # noqa: PLC0415  # absent on Windows, where two processes may make an entry twice
        except ImportError:
            yield
            return
        path = self.path(kind, key).with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
