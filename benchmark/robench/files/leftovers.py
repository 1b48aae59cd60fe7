"""Removes the temporary files of processes that were killed while writing."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from robench.files.lock import is_free

AGE = 600.0  # a file counts as abandoned after this many seconds without a write
MOMENT = 1.0  # the largest number of seconds between the last write to a temporary file and the renaming
DRAWN = r"\.[a-z0-9_]{8}\.tmp"  # the random ending of names from the module tempfile
NAMES = (  # the files in a folder of results, except for those of cells
    *(".suite-file", "suite.yaml", "plan.json", "users.npz", "cells.csv", "timings.csv"),
    *("leaderboard.csv", "leaderboard.json", "leaderboard.md", "index.html"),
    *("records.jsonl", "arrays.npz", "MANIFEST.json", "trials.jsonl"),
)
OF_RESULTS = re.compile(rf"\.(?:{'|'.join(map(re.escape, NAMES))}){DRAWN}")
OF_CELLS = re.compile(rf"\.[0-9a-f]{{16}}\.(?:json|npz){DRAWN}")
OF_CACHE = re.compile(rf"\.?(?P<key>[0-9a-f]{{16,64}})(?P<end>\.safetensors|\.npz|\.json|){DRAWN}")


def remove_leftovers(results: Path, cache: Path, *, alone: bool) -> None:
    """Removes unfinished files from a folder of results and from the cache.

    Only files with names that robench uses for temporary files are removed. All other files may belong to somebody
    else.

    In the cache, a process holds the lock on an entry while writing the entry. An unfinished file is removed if the
    lock is free and the last write was more than a second ago. Without a free lock, the last write must have been more
    than ten minutes ago.

    Args:
        results: a folder of results.
        cache: the folder of the cache.
        alone: whether this process holds the lock on ``results``. If so, no other run writes there, and temporary files
            that are older than a second are removed. Otherwise, they must be older than ten minutes.
    """
    now = time.time()
    for path in (*_matching(results, OF_RESULTS), *_matching(results / "cells", OF_CELLS)):
        if path.is_file() and not path.is_symlink() and _age(path, now) > (MOMENT if alone else AGE):
            remove_path(path)
    for path, key in _unfinished_entries(cache):
        age = _age(path, now)
        if age > AGE or (age > MOMENT and is_free(path.with_name(f"{key}.lock"))):
            remove_path(path)


def _matching(folder: Path, names: re.Pattern[str]) -> Iterator[Path]:
    """Yields the paths in a folder with names that match a pattern.

    Nothing is yielded if the folder cannot be read.
    """
    with suppress(OSError):  # the folder is missing, or belongs to another user
        yield from [path for path in folder.iterdir() if names.fullmatch(path.name)]


def _unfinished_entries(cache: Path) -> Iterator[tuple[Path, str]]:
    """Yields the path and the key of each unfinished entry in the cache.

    Entries have paths such as ``kind/ab/abcd…``, in which ``ab`` are the first two characters of the key. If the name
    of an entry has no suffix, the entry is a folder.
    """
    for parent in cache.glob("*/[0-9a-f][0-9a-f]"):
        if parent.is_symlink() or parent.parent.is_symlink():
            continue
        for path in _matching(parent, OF_CACHE):
            match = OF_CACHE.fullmatch(path.name)
            folder = path.is_dir() and not path.is_symlink()
            if match and match["key"].startswith(parent.name) and folder == (match["end"] == ""):
                yield path, match["key"]


def _age(path: Path, now: float) -> float:
    """Returns the seconds since the last write to a path, or 0 if it is missing."""
    try:
        return now - path.lstat().st_mtime
    except OSError:  # another process has removed it
        return 0.0


def remove_path(path: Path) -> None:
    """Removes a file or a folder, and ignores failures."""
    with suppress(OSError):  # the path is missing, belongs to another user, or is in a read-only folder
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
