"""Removes the temporary files of runs that were killed while they wrote."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

AGE = 600.0  # seconds since the last write, after which nobody writes the file any more
UNFINISHED = re.compile(r"\..*\.tmp|.*\.\d+\.npz")  # of files/atomic.py, and of prepared data


def remove_leftovers(folders: Iterable[Path]) -> None:
    """Removes temporary files in some folders, and below them, that were last written ten minutes ago or earlier."""
    latest = time.time() - AGE
    for folder in folders:
        for path in folder.rglob("*"):
            if UNFINISHED.fullmatch(path.name):
                with suppress(OSError):  # gone meanwhile, or not ours
                    if path.lstat().st_mtime <= latest:
                        path.unlink()
