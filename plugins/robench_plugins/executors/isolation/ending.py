"""Describes the end of a worker.

The description comes from the exit code or signal of the worker, and from the kernel's log or its counter of kills.
"""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
KERNEL_LOG = Path("/dev/kmsg")


def describe_exit(code: int) -> str:
    """Describes the end of a worker with this exit code.

    A negative code stands for the signal that killed the process.
    """
    if code >= 0:
        return f"the worker ended with exit code {code} before its task was done"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"the worker was killed by {name}"


class MemoryKills:
    """A counter of the processes that are killed for lack of memory.

    The counter covers the control group of this process, and ignores kills before its creation.
    """

    def __init__(self) -> None:
        self._before = _killed()

    def describe(self, pid: int) -> str:
        """Returns the evidence that a process was killed for lack of memory.

        The evidence is the kernel's log line. Without such a line, the evidence is the rise of the control group's
        counter of such kills. The result is empty if there is no evidence.
        """
        if line := _kernel_line(pid):
            return f"; the kernel says: {line}"
        kills = _killed() - self._before
        return f"; out of memory: the kernel's oom_kill counter of this control group rose by {kills}" if kills else ""


def _killed() -> int:
    """Returns the number of processes that were killed for lack of memory.

    The number covers the control group to which this process belongs. It is 0 if it is unknown.
    """
    with suppress(OSError):
        for entry in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = entry.split(":", 2)
            if controllers in ("", "memory"):
                folder = CGROUPS / controllers
                for file in (folder / path.lstrip("/"), folder):
                    for name in ("memory.events", "memory.oom_control"):
                        with suppress(OSError):
                            found = re.search(r"^oom_kill (\d+)", (file / name).read_text(), re.MULTILINE)
                            if found:
                                return int(found[1])
    return 0


def _kernel_line(pid: int) -> str:
    """Returns the kernel's last log line about killing a process for lack of memory.

    The result is empty if the log has no such line or cannot be read.
    """
    line = ""
    try:
        log = os.open(KERNEL_LOG, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return line
    try:
        while True:
            try:
                text = os.read(log, 8192).decode(errors="replace").partition(";")[2].splitlines()
            except BrokenPipeError:  # the kernel has dropped old lines in the meantime
                continue
            if text and re.search(rf"out of memory.*killed process {pid}\b", text[0], re.IGNORECASE):
                line = text[0]
    except OSError:  # there are no further lines
        return line
    finally:
        os.close(log)
