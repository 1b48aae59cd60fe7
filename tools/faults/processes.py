"""Finds and ends the processes of a run, as listed in ``/proc``."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def started_by(name: str, value: str) -> list[int]:
    """Returns the ids of the processes that have ``name=value`` in their environment.

    Only the environment at the start of a process counts.
    """
    entry = f"{name}={value}".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if entry in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
    return found


def below(pid: int) -> list[int]:
    """Returns the ids of the descendants of a process.

    Processes that a thread other than the main thread has started are left out.
    """
    with suppress(OSError):
        children = (Path(f"/proc/{pid}/task/{pid}/children")).read_text().split()
        return [one for child in map(int, children) for one in (child, *below(child))]
    return []


def end_all(pids: Iterable[int]) -> None:
    """Kills the processes with these ids."""
    for pid in pids:
        with suppress(OSError):
            os.kill(pid, signal.SIGKILL)
