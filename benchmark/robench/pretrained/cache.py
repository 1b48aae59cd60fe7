"""What is dear to make and depends on content alone, for plugins: made once per machine, kept in the cache."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.files.cache import Cache, default_folder


def cached_array(kind: str, content: Any, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """The array of some content, made where it is not in the cache; processes that ask at once make it once.

    Args:
        kind: a name for the folder.
        content: everything that the array depends on, as JSON.
    """
    arrays, _ = Cache(default_folder()).get(kind, _key(content), lambda: ({"array": make()}, {}))
    return arrays["array"]


def cached_array_path(kind: str, content: Any) -> Path:
    """Where ``cached_array`` has the array of some content, made or not."""
    return Cache(default_folder()).path(kind, _key(content))


def cached_folder(kind: str, content: Any, make: Callable[[Path], None]) -> Path:
    """The folder of some content, made where it is not in the cache: whole or not at all, and once.

    Args:
        kind: a name for the folder's own folder.
        content: everything that the files depend on, as JSON.
        make: fills the empty folder that it is given.
    """
    cache, key = Cache(default_folder()), _key(content)
    path = cache.path(kind, key).with_suffix("")
    if path.is_dir():
        return path
    with cache.alone(kind, key):
        if path.is_dir():
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{key}.") as around:
            folder = Path(around) / "whole"
            folder.mkdir()
            make(folder)
            for file in folder.iterdir():
                file.chmod(0o644)
                with file.open("rb") as written:
                    os.fsync(written.fileno())
            try:
                folder.replace(path)
            except OSError:  # without a lock another process may have been first
                if not path.is_dir():
                    raise
    return path


def _key(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
