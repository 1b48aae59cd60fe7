"""The cache of expensive results, such as prepared data and checkpoints.

The key of a result is a hash of everything on which the result depends. Each entry stores the key and a digest of the
content. Both are checked whenever the entry is read. A bad entry is removed and computed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from contextvars import ContextVar
from functools import cache as once
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from robench.api.errors import UserError
from robench.api.escapes import in_one_line
from robench.files.atomic import write_bytes
from robench.files.lock import locked
from robench.files.reading import check_file, parse_json
from robench.files.sources import Sources

log = logging.getLogger("robench")

Arrays = Mapping[str, NDArray[Any]]
USE_LOCK = ".use.lock"  # the name of a lock file in the folder of the cache
MOST_ENTRY = 1 << 36  # the largest size of a file in bytes
MOST_NAME = 200  # the largest number of characters of a name or a problem in a message


@once
def _log_once(text: str) -> None:
    log.warning("%s", text)


# The function that receives messages about the cache. A worker sends the messages to its parent process, which shows
# each message only once.
report_trouble: ContextVar[Callable[[str], None]] = ContextVar("report_trouble", default=_log_once)


class Entry(NamedTuple):
    """The content of one entry: arrays by name, and a mapping of JSON values."""

    arrays: dict[str, NDArray[Any]]
    notes: dict[str, Any]


def touch(path: Path) -> None:
    """Sets the access time of an entry to the current time.

    Pruning removes the least recently used entries. This function is needed because many file systems do not record
    every access.
    """
    with suppress(OSError):  # the cache may be read-only
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def default_folder() -> Path:
    """Returns the path of the cache: ``ROBENCH_CACHE``, or else ``~/.cache/robench``."""
    return Path(os.environ.get("ROBENCH_CACHE") or Path.home() / ".cache" / "robench")


def read_entry(path: Path, name: str = "") -> Entry:
    """Reads the file of an entry and checks the content against the stored digest.

    Args:
        path: the path of the file.
        name: the kind and the key that the entry must have, as ``kind/key``. If the name is empty, any entry is
            accepted, even without a digest.

    Raises:
        OSError: if the file cannot be read.
        SafetensorError: if the file is not a complete safetensors file.
        UserError: if the file is not a regular file or is too large, if the content does not match the digest, if the
            entry has a different name, or if the notes are not JSON.
    """
    check_file(path, MOST_ENTRY)
    with safe_open(path, framework="numpy") as file:
        facts = file.metadata() or {}
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # not a dict
    text = facts.get("notes", "{}")
    if (name or "sha256" in facts) and facts.get("sha256") != _sha256(facts.get("name", ""), arrays, text):
        raise UserError("its content is not what its sha256 says", where=str(path))
    if name and facts["name"] != name:
        raise UserError(f"the entry of another key: {facts['name'][:MOST_NAME]}", where=str(path))
    return Entry(arrays, parse_json(text.encode("utf-8", "replace"), str(path)))


def write_entry(path: Path, name: str, arrays: Arrays, notes: Mapping[str, Any]) -> None:
    """Writes the file of an entry, which also stores a name and a digest.

    The file is written atomically.

    Args:
        path: the path of the file.
        name: the kind and the key of the entry, as ``kind/key``.
        arrays: the arrays of the entry, by name.
        notes: the notes of the entry, a mapping of JSON values.
    """
    complete = {key: np.ascontiguousarray(part) for key, part in arrays.items()}
    text = json.dumps(dict(notes))
    write_bytes(path, save(complete, {"notes": text, "name": name, "sha256": _sha256(name, complete, text)}))


def _sha256(name: str, arrays: Arrays, notes: str) -> str:
    """Returns the SHA-256 digest of an entry's name, arrays and notes."""
    shapes = [[key, str(arrays[key].dtype), list(arrays[key].shape)] for key in sorted(arrays)]
    whole = hashlib.sha256(json.dumps([name, shapes, notes]).encode())
    for key in sorted(arrays):
        whole.update(np.ascontiguousarray(arrays[key]).data if arrays[key].size else b"")
    return whole.hexdigest()


class Cache:
    """A folder with cached entries.

    ``write`` stores an entry as a safetensors file. Nothing is ever unpickled.

    Args:
        folder: the path of the folder, which is created at the first write.

    Attributes:
        sources: an object that computes digests of source code. Keys contain these digests.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources = Sources()

    def check(self) -> None:
        """Creates the folder if necessary and checks that files can be written there.

        Raises:
            UserError: if the folder cannot be created or written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise self.describe_failure(error) from None

    @property
    def use_lock(self) -> Path:
        """The path of the lock file that prevents pruning during a run.

        All runs share the lock.
        """
        return self.folder / USE_LOCK

    def path(self, kind: str, key: str) -> Path:
        """Returns the path of an entry's file, even if the file does not exist."""
        return self.folder / kind / key[:2] / f"{key}.safetensors"

    def read(self, kind: str, key: str) -> Entry | None:
        """Returns an entry, or None if it is missing or bad."""
        return self._read(kind, key)[0]

    def _read(self, kind: str, key: str) -> tuple[Entry | None, str]:
        """Returns an entry and a description of the entry's fault.

        The entry is None if it is missing or bad. The description is empty if the entry is good or missing.
        """
        path = self.path(kind, key)
        try:
            entry = read_entry(path, f"{kind}/{key}")
            touch(path)
            return entry, ""
        except FileNotFoundError:
            return None, ""
        except UserError as error:
            return None, error.problem
        except Exception as error:  # the reader raises exceptions of many classes on damaged files
            return None, f"{type(error).__name__}: {error}"

    def drop(self, path: Path, problem: str) -> None:
        """Removes a bad entry and reports the problem.

        Args:
            path: the path of the entry, which is a file or a folder.
            problem: a description of what is wrong with the entry.
        """
        report_trouble.get()(f"{path}: {in_one_line(problem, MOST_NAME)}; it is made again")
        with suppress(OSError):  # In a read-only folder, the bad entry remains, and the next reader also reports it.
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def write(self, kind: str, key: str, arrays: Arrays, notes: Mapping[str, Any]) -> None:
        """Stores an entry atomically."""
        path = self.path(kind, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_entry(path, f"{kind}/{key}", arrays, notes)

    def describe_failure(self, error: OSError) -> UserError:
        """Returns a ``UserError`` with advice for a failure to write to the cache."""
        hint = "make room there, or set ROBENCH_CACHE to another folder"
        return UserError(f"the cache cannot be written: {error.strerror or error}", where=str(self.folder), hint=hint)

    def keep(self, kind: str, key: str, arrays: Arrays, notes: Mapping[str, Any]) -> None:
        """Stores an entry atomically, but does not raise an error if writing fails.

        A failure is reported instead.
        """
        try:
            self.write(kind, key, arrays, notes)
        except OSError as error:
            report_trouble.get()(f"{self.describe_failure(error)}; results are measured without it")

    def get(self, kind: str, key: str, make: Callable[[], tuple[Arrays, Mapping[str, Any]]]) -> Entry:
        """Returns an entry, which is first computed and stored if it is missing or bad.

        If several processes need the same entry at the same time, only one of them computes it.

        Args:
            kind: the name of the subfolder for entries of this kind.
            key: the digest of everything on which the entry depends.
            make: a function that computes the arrays and the notes of the entry.
        """
        entry = self.read(kind, key)
        if entry is None:
            with self.alone(kind, key):
                entry, problem = self._read(kind, key)
                if problem:
                    self.drop(self.path(kind, key), problem)
                if entry is None:
                    arrays, notes = make()
                    self.keep(kind, key, arrays, notes)
                    entry = Entry(dict(arrays), dict(notes))
        return entry

    def alone(self, kind: str, key: str) -> AbstractContextManager[None]:
        """Returns a context manager that waits for the lock on an entry and holds it."""
        return locked(self.path(kind, key).with_suffix(".lock"))
