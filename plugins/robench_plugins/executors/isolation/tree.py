"""Functions for the descendants of a process on Linux, based on ``/proc``."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

SET_PARENT_DEATH_SIGNAL, SET_CHILD_SUBREAPER = 1, 36  # options of prctl
PROC = Path("/proc")
PATIENCE = 5.0  # the seconds after which processes that do not end are left alone


def die_with_parent(parent: int) -> None:
    """Makes the kernel kill this process as soon as its parent ends.

    If the parent has ended already, this process exits at once.

    Args:
        parent: the process id of the parent.
    """
    _prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Makes this process the parent of its orphaned descendants."""
    _prctl(SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def descendants(pid: int) -> list[int]:
    """Returns the ids of all descendants of a process, parents first."""
    list_children = _make_list()
    below, level = [], [pid]
    while level:
        level = [child for parent in level for child in list_children(parent)]
        below += level
    return below


def children(pid: int) -> list[int]:
    """Returns the process ids of the children of a process."""
    return _make_list()(pid)


def _make_list() -> Callable[[int], list[int]]:
    """Returns a function that returns the ids of a process's children."""
    return _listed_children if (PROC / "thread-self" / "children").exists() else _all_children()


def _listed_children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in (PROC / str(pid) / "task").iterdir():
            with suppress(OSError):
                found += map(int, (thread / "children").read_text().split())
    return found


def _all_children() -> Callable[[int], list[int]]:
    """Returns a function that returns the ids of a process's children.

    ``_make_list`` uses it on kernels that do not list children in ``/proc``. The parents of all processes are read only
    once, before the result is called.
    """
    below: dict[int, list[int]] = {}
    for place in PROC.glob("[0-9]*"):
        if fields := _status(int(place.name)):
            below.setdefault(int(fields[1]), []).append(int(place.name))
    return lambda pid: below.get(pid, [])


def resident(pids: list[int]) -> int:
    """Returns the resident memory of processes, in bytes."""
    pages = 0
    for pid in pids:
        with suppress(OSError, ValueError):
            pages += int((PROC / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


def processor_seconds(pids: list[int]) -> float:
    """Returns the processor time of processes, in seconds."""
    ticks = sum(int(fields[11]) + int(fields[12]) for fields in map(_status, pids) if fields)
    return ticks / os.sysconf("SC_CLK_TCK")


def is_stopped(pid: int) -> bool:
    """Returns whether a process is stopped by a signal."""
    return _status(pid)[:1] in (["T"], ["t"])


def _status(pid: int) -> list[str]:
    """Returns the fields of ``/proc/<pid>/stat``, starting with the process state.

    The list is empty if the process has ended.
    """
    try:
        return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def end(pids: Iterable[int]) -> None:
    """Kills the processes with these ids."""
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def end_descendants() -> None:
    """Kills all descendants of this process, including those that are just starting.

    After five seconds, the function gives up.
    """
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        end(descendants(os.getpid()))
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)
