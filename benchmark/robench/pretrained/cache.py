"""A cache for expensive results that depend only on their inputs.

With this cache, a plugin computes each result only once per machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.errors import UserError
from robench.files.atomic import write_text
from robench.files.cache import MOST_ENTRY, Cache, default_folder, touch
from robench.files.reading import check_file, parse_json, read_file


def cache_folder() -> Path:
    """Returns the path of the cache on this machine."""
    return default_folder()


def cached_array(kind: str, content: Any, make: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Returns a cached array, which is first computed if necessary.

    If several processes need the same array at the same time, only one of them computes it.

    Args:
        kind: the name of the subfolder in the cache.
        content: all inputs on which the array depends, as JSON.
        make: a function that computes the array.
    """
    arrays, _ = Cache(default_folder()).get(kind, _key(content), lambda: ({"array": make()}, {}))
    return arrays["array"]


def cached_notes(kind: str, content: Any, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Returns a cached mapping of JSON values, which is first made if necessary.

    If several processes need the same mapping at the same time, only one of them makes it. If ``make`` raises an error,
    nothing is stored.

    Args:
        kind: the name of the subfolder in the cache.
        content: all inputs on which the mapping depends, as JSON.
        make: a function that makes the mapping.
    """
    return Cache(default_folder()).get(kind, _key(content), lambda: ({}, make())).notes


def cached_array_path(kind: str, content: Any) -> Path:
    """Returns the path of the file that ``cached_array`` uses for these inputs.

    The file need not exist.
    """
    return Cache(default_folder()).path(kind, _key(content))


def cached_folder(kind: str, content: Any, make: Callable[[Path], None]) -> Path:
    """Returns the path of a cached folder, which is first filled if necessary.

    The folder is either complete or missing. If several processes need the same folder at the same time, only one of
    them fills it.

    Args:
        kind: the name of the subfolder in the cache.
        content: all inputs on which the files depend, as JSON.
        make: a function that writes the files into an empty folder.
    """
    cache, key = Cache(default_folder()), _key(content)
    path = cache.path(kind, key).with_suffix("")
    if path.is_dir() and not _find_problem(path, key):
        touch(path)
        return path
    with cache.alone(kind, key):
        if os.path.lexists(path):
            problem = _find_problem(path, key)
            if not problem:
                return path
            cache.drop(path, problem)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{key}.", suffix=".tmp") as around:
            folder = Path(around) / "whole"
            folder.mkdir()
            make(folder)
            for file in folder.iterdir():
                file.chmod(0o644)
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())
            try:
                folder.replace(path)
            except OSError:  # without a lock, another process may have finished first
                if not path.is_dir():
                    raise
        write_text(_sums_path(path), json.dumps({"key": key, "files": _sums(path)}))
    return path


def _sums_path(folder: Path) -> Path:
    """Returns the path of the file with the checksums of a folder.

    The file with the checksums is next to the folder. It contains the folder's key and the digest of every file.
    """
    return folder.with_suffix(".json")


def _find_problem(folder: Path, key: str) -> str:
    """Returns a description of what is wrong with a folder, or an empty string.

    A folder is wrong if its files or its key differ from those in the file with the checksums.
    """
    try:
        noted = parse_json(read_file(_sums_path(folder)), str(_sums_path(folder)))
        same = noted == {"key": key, "files": _sums(folder)}
    except FileNotFoundError:
        return "it has no digests of its files"
    except UserError as error:
        return str(error)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return "" if same else "its files are not what their digests say"


def _sums(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 digest of every file in a folder, by the name of the file."""
    sums = {}
    for file in sorted(folder.iterdir()):
        check_file(file, MOST_ENTRY)
        with file.open("rb") as opened:
            sums[file.name] = hashlib.file_digest(opened, "sha256").hexdigest()
    return sums


def _key(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
