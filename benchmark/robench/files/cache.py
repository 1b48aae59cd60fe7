"""The content-addressed cache: prepared data, profiles, checkpoints. A key hashes everything that matters."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from robench.api.errors import UserError
from robench.files.atomic import write_bytes
from robench.files.sources import Sources

Arrays = Mapping[str, NDArray[Any]]


def default_folder() -> Path:
    """``ROBENCH_CACHE``, or ``~/.cache/robench``."""
    return Path(os.environ.get("ROBENCH_CACHE") or Path.home() / ".cache" / "robench")


def read_entry(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Arrays and notes of an entry's file.

    Raises:
        OSError: it cannot be read.
        SafetensorError: it is no whole safetensors file.
        json.JSONDecodeError: its notes are not JSON.
    """
    with safe_open(path, framework="numpy") as file:
        notes = json.loads((file.metadata() or {}).get("notes", "{}"))
        return {name: file.get_tensor(name) for name in file.keys()}, notes  # noqa: SIM118  # not a dict


class Cache:
    """Arrays and a little JSON per key, as safetensors. Nothing is ever unpickled.

    Args:
        folder: created when first written to.

    Attributes:
        sources: digests of code, for keys.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources = Sources()

    def check(self) -> None:
        """Refuse a folder that cannot be written, before any work.

        Raises:
            UserError: it is a file, or it may not be written.
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
        """Where an entry lies."""
        return self.folder / kind / key[:2] / f"{key}.safetensors"

    def read(self, kind: str, key: str) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
        """Arrays and notes of an entry; None where it is missing or damaged (it is then made anew)."""
        try:
            return read_entry(self.path(kind, key))
        except (FileNotFoundError, SafetensorError, json.JSONDecodeError):
            return None

    def write(self, kind: str, key: str, arrays: Arrays, notes: Mapping[str, Any]) -> None:
        """Store an entry, whole or not at all."""
        path = self.path(kind, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = {name: np.ascontiguousarray(part) for name, part in arrays.items()}
        write_bytes(path, save(whole, {"notes": json.dumps(dict(notes))}))

    def get(
        self, kind: str, key: str, make: Callable[[], tuple[Arrays, Mapping[str, Any]]]
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The entry, made first where it is missing; several processes that ask at once make it once."""
        found = self.read(kind, key)
        if found is None:
            with self.alone(kind, key):
                found = self.read(kind, key)
                if found is None:
                    arrays, notes = make()
                    self.write(kind, key, arrays, notes)
                    found = dict(arrays), dict(notes)
        return found

    @contextmanager
    def alone(self, kind: str, key: str) -> Iterator[None]:
        """Hold the entry's lock; it is the system's, so a killed process leaves none behind."""
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
