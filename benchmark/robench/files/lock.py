"""Provides locks between processes.

When a process ends, the operating system releases all locks of this process, even after a crash.

If a lock file is a link, the link is not followed. Opening a lock file does not change its content. On Windows and on
some network file systems, there are no such locks, and blocks are entered without a lock.
"""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
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

RUN_LOCK, TABLES_LOCK = ".run.lock", ".tables.lock"  # the names of lock files in a folder of results
MOST_OWNER = 200  # the largest size of the line about the owner of a lock, in bytes


def open_lock(path: Path) -> int:
    """Opens a lock file, which is created if it is missing, and returns the handle.

    Raises:
        OSError: if the file cannot be opened, is a link, or is not a regular file.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    handle = os.open(path, flags, 0o644)
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(handle)
        raise OSError(f"{path} is a link or not a regular file, where a lock belongs")
    return handle


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits for the exclusive lock on a file, and holds the lock during the block.

    If no lock file can be created, the block is entered without a lock.
    """
    with suppress(OSError):  # a later write to this folder also fails, and reports the error
        path.parent.mkdir(parents=True, exist_ok=True)
    with _holding(path, shared=False):
        yield


def is_free(path: Path) -> bool:
    """Returns whether a lock file exists and no process holds its lock.

    The result is also False if the system has no locks, or if the file cannot be opened.
    """
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
def sharing(path: Path) -> Iterator[None]:
    """Waits for a shared lock on a file, and holds the lock during the block.

    If no lock file can be created, the block is entered without a lock.
    """
    with _holding(path, shared=True):
        yield


@contextmanager
def _holding(path: Path, *, shared: bool) -> Iterator[None]:
    """Holds the lock on a file during the block, or no lock if locks are impossible."""
    handle = None
    with suppress(OSError):
        handle = open_lock(path)
    try:
        if HAS_LOCKS and handle is not None:
            with suppress(OSError):  # this file system has no locks
                fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        if handle is not None:
            os.close(handle)


@contextmanager
def unless_shared(path: Path) -> Iterator[bool]:
    """Holds the exclusive lock on a file during the block, if the lock is free.

    Yields:
        False if another process holds the exclusive lock or a shared lock. True otherwise, even if the system has no
        locks.

    Raises:
        UserError: if the lock file cannot be opened.
    """
    try:
        handle = open_lock(path)
    except OSError as error:
        raise UserError(f"cannot be locked: {error.strerror or error}", where=str(path)) from None
    try:
        if HAS_LOCKS:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            except OSError:  # this file system has no locks
                pass
        yield True
    finally:
        os.close(handle)


@contextmanager
def working_alone(folder: Path) -> Iterator[bool]:
    """Holds the exclusive lock on a folder of results during the block.

    A missing folder is created. If a new folder is empty after the block, it is removed again.

    Yields:
        True if the lock is held, so that no other run uses the folder. False if the system has no locks.

    Raises:
        UserError: if another process holds the lock, or if the folder cannot be written.
    """
    missing = [one for one in (folder, *folder.parents) if not os.path.exists(one)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, held = _take(folder / RUN_LOCK)
    except _HeldError as other:
        problem, hint = "another run is at work in this folder", "wait until it ends, or give another --results"
        raise UserError(f"{problem}{other}", where=str(folder), hint=hint) from None
    except OSError as error:
        raise describe_failure(folder, error) from None
    try:
        with _releasing(folder / RUN_LOCK, handle):
            yield held
    finally:
        for one in missing:
            with suppress(OSError):  # the folder is not empty
                one.rmdir()


@contextmanager
def writing_tables(folder: Path) -> Iterator[None]:
    """Waits for the lock on a folder's tables, and holds the lock during the block.

    The block should also read the cells, so that the tables written last contain the newest cells. If the folder does
    not exist, no lock is held.

    Raises:
        UserError: if the folder cannot be written.
    """
    path, handle = folder / TABLES_LOCK, None
    try:
        if os.path.isdir(folder):
            handle, _ = _take(path, wait=True)
    except OSError as error:
        raise describe_failure(folder, error) from None
    with nullcontext() if handle is None else _releasing(path, handle):
        yield


@contextmanager
def searching_alone(trials: Path) -> Iterator[None]:
    """Holds the exclusive lock for a file of trials during the block.

    The lock file is beside the file of trials. If the system has no locks, no lock is held.

    Raises:
        UserError: if another process holds the lock, or if the folder cannot be written.
    """
    path = trials.with_name(f".{trials.name}.lock")
    try:
        handle, _ = _take(path)
    except _HeldError as other:
        problem = f"another search is at work on this file{other}"
        raise UserError(problem, where=str(trials), hint="wait until it ends") from None
    except OSError as error:
        raise describe_failure(trials.parent, error) from None
    with _releasing(path, handle):
        yield


class _HeldError(Exception):
    """Raised if another process holds a lock.

    The message is a colon, followed by the lock file's line about the owner. It is empty if there is no such line.
    """


def _take(path: Path, *, wait: bool = False) -> tuple[int, bool]:
    """Takes the exclusive lock on a file.

    Returns:
        The handle of the lock file, and whether the lock is held. The lock is not held if the system has no locks.

    Raises:
        _HeldError: if another process holds the lock and ``wait`` is false.
        OSError: if the lock file cannot be opened.
    """
    while True:
        handle = open_lock(path)
        try:
            if not HAS_LOCKS:
                return handle, False
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            owner = in_one_line(os.pread(handle, MOST_OWNER, 0).decode("utf-8", "replace"))
            os.close(handle)
            raise _HeldError(f": {owner}" if owner else "") from None
        except OSError:  # this file system has no locks
            return handle, False
        if _is_current(handle, path):
            _sign(handle)
            return handle, True
        os.close(handle)  # the previous owner has removed the file in the meantime


@contextmanager
def _releasing(path: Path, handle: int) -> Iterator[None]:
    """Removes a lock file at the end of the block and releases its lock."""
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(handle)


def _is_current(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _sign(handle: int) -> None:
    """Writes a line about this process, which holds the lock, into the lock file."""
    owner = f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}"
    with suppress(OSError):  # if the disk is full, the next write to another file reports the error
        os.pwrite(handle, owner.encode()[:MOST_OWNER].ljust(MOST_OWNER), 0)
