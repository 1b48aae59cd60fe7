"""The limits of a task, and messages about tasks that exceed them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robench.api import Task

# The units of memory with their sizes in bytes, the largest first.
UNITS = (
    ("TiB", 1 << 40),
    ("TB", 10**12),
    ("GiB", 1 << 30),
    ("GB", 10**9),
    ("MiB", 1 << 20),
    ("MB", 10**6),
    ("KiB", 1 << 10),
    ("kB", 10**3),
)


@dataclass(frozen=True)
class Limits:
    """The seconds and the bytes of memory that a task may use.

    None means no limit.
    """

    seconds: float | None = None
    memory: int | None = None

    @classmethod
    def of(cls, task: Task) -> Limits:
        """Returns the limits in the payload of a task."""
        given: Mapping[str, Any] = task.payload.get("limits") or {}
        return cls(given.get("seconds"), given.get("memory"))

    def problem(self, seconds: float, memory: int) -> str:
        """Returns a line about the exceeded limit, or an empty string.

        Args:
            seconds: the seconds since the start of the task.
            memory: the resident memory of the task's processes, in bytes.
        """
        if self.seconds is not None and seconds > self.seconds:
            return (
                f"over its limit of {self.seconds:g} seconds: stopped after {seconds:.1f} s; "
                "raise limits.seconds, or make the victim cheaper"
            )
        if self.memory is not None and memory > self.memory:
            unit = unit_of(self.memory)
            return (
                f"over its limit of {size(self.memory, unit)} of memory: used {memory / unit[1]:.4g} {unit[0]}; "
                "raise limits.memory, or make the victim smaller"
            )
        return ""


def unit_of(limit: int) -> tuple[str, int]:
    """Returns a unit for a limit, and the size of the unit in bytes.

    In this unit the limit is short and exact. A limit of ``100 MB`` is therefore shown as the user wrote it, instead of
    as 95.37 MiB.
    """
    fits = [unit for unit in UNITS if limit >= unit[1] and 100 * limit % unit[1] == 0]
    return fits[0] if fits else ("bytes", 1)


def size(count: int, unit: tuple[str, int]) -> str:
    """Returns a number of bytes in a unit, such as ``4 GiB``."""
    name, factor = unit
    return f"{count} {name}" if factor == 1 else f"{count / factor:.6g} {name}"
