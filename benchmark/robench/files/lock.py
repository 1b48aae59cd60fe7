"""Locks between processes. The operating system releases a lock when its process ends, however it ends.

A lock file is never followed if it is a link, and what stands in it is never lost. Where there are no such locks
(Windows, some network file systems), the block is entered without one.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from robench.api.errors import UserError
from robench.api.escapes import in_one_line
from robench.files.writing import describe_failure

try:
    import fcntl
except ImportError:  # on Windows
    HAS_LOCKS = False
else:
    HAS_LOCKS = True

RUN_LOCK = ".run.lock"  # in a folder of results
MOST_OWNER = 200  # bytes of the text that says who holds a lock


def open_lock(path: Path) -> int:
    """Returns the handle of a lock file, which is made if it is missing.

    Raises:
        OSError: if it cannot be opened, or is a link or no regular file.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags, 0o644)
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(handle)
        raise OSError(f"{path} is a link or no regular file, where a lock belongs")
    return handle


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock of a file, and waits for it first. Without a lock file, the block is entered without a lock."""
    handle = None
    with suppress(OSError):  # whatever is written below it fails too, and says so
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open_lock(path)
    try:
        if HAS_LOCKS and handle is not None:
            with suppress(OSError):  # no locks on this file system
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        if handle is not None:
            os.close(handle)


def is_free(path: Path) -> bool:
    """Returns whether a lock file exists and nobody holds its lock."""
    if not HAS_LOCKS or not path.is_file():
        return False
    try:
        handle = open_lock(path)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


@contextmanager
def working_alone(folder: Path) -> Iterator[bool]:
    """Holds the lock of a folder of results, which is made if it is missing, and removed again if it stays empty.

    Yields:
        Whether there is a lock, so that nobody else works in the folder.

    Raises:
        UserError: if another process holds it, which is named, or if the folder cannot be written.
    """
    missing = [one for one in (folder, *folder.parents) if not os.path.exists(one)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, held = _take(folder)
    except OSError as error:
        raise describe_failure(folder, error) from None
    try:
        yield held
    finally:
        with suppress(OSError):
            (folder / RUN_LOCK).unlink(missing_ok=True)
        os.close(handle)
        for one in missing:
            with suppress(OSError):  # not empty
                one.rmdir()


def _take(folder: Path) -> tuple[int, bool]:
    """Returns the handle of the lock of a folder, and whether it is held. It is not if there are no locks here."""
    path = folder / RUN_LOCK
    while True:
        handle = open_lock(path)
        try:
            if not HAS_LOCKS:
                return handle, False
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = in_one_line(os.pread(handle, MOST_OWNER, 0).decode("utf-8", "replace"))
            os.close(handle)
            problem = "another run is at work in this folder" + (f": {owner}" if owner else "")
            raise UserError(problem, where=str(folder), hint="wait for its end, or give another --results") from None
        except OSError:  # no locks on this file system
            return handle, False
        if _is_current(handle, path):
            _sign(handle)
            return handle, True
        os.close(handle)  # its last owner has removed it meanwhile


def _is_current(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _sign(handle: int) -> None:
    """Writes who holds a lock."""
    owner = f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}"
    with suppress(OSError):  # a full disk is reported by whoever needs room
        os.pwrite(handle, owner.encode()[:MOST_OWNER].ljust(MOST_OWNER), 0)
