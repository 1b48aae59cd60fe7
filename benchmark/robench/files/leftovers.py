"""Removes the temporary files of processes that were killed while they wrote."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from robench.files.lock import is_free

AGE = 600.0  # after so many seconds without a write, a file counts as abandoned
MOMENT = 1.0  # the most seconds between the writing of a whole file and its renaming
UNFINISHED = re.compile(r"\.(?P<name>[^.]+)\..*\.tmp|.*\.\d+\.npz")  # in files/atomic.py and pretrained/cache.py


def remove_leftovers(results: Path, cache: Path, *, alone: bool) -> None:
    """Removes the unfinished files of killed processes.

    Args:
        results: a folder of results.
        cache: the cache. Its other users hold the lock of an entry while they write it. Files without a lock are
            removed if they were last written ten minutes ago.
        alone: whether this process holds the lock of ``results``. Then no other run writes there, and only
            ``leaderboard`` may write for a moment.
    """
    now = time.time()
    for path, age in _unfinished(results, now):
        if age > (MOMENT if alone else AGE):
            remove_path(path)
    for path, age in _unfinished(cache, now):
        if age > AGE or (age > MOMENT and _is_orphan(path)):
            remove_path(path)


def _unfinished(folder: Path, now: float) -> Iterator[tuple[Path, float]]:
    """Yields unfinished files and folders with their ages in seconds."""
    for path in [path for path in folder.rglob("*") if UNFINISHED.fullmatch(path.name)]:
        with suppress(OSError):  # another process has removed it
            yield path, now - path.lstat().st_mtime


def _is_orphan(path: Path) -> bool:
    """Returns whether an unfinished file of the cache belongs to no running process.

    The lock of its entry is then free.
    """
    match = UNFINISHED.fullmatch(path.name)
    return match is not None and match["name"] is not None and is_free(path.with_name(f"{match['name']}.lock"))


def remove_path(path: Path) -> None:
    """Removes a file or a folder, if it is there and may be removed."""
    with suppress(OSError):  # another user's file, or a read-only folder
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
