"""The limits of a task, and messages about tasks that exceed them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robench.api import Task


@dataclass(frozen=True)
class Limits:
    """The seconds and the bytes of memory that a task may use. None means no limit."""

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
            return (
                f"over its limit of {size(self.memory)} of memory: used {size(memory)}; "
                "raise limits.memory, or make the victim smaller"
            )
        return ""


def size(count: float) -> str:
    """Returns a number of bytes as text, such as ``4 GiB``."""
    units = ("bytes", "KiB", "MiB", "GiB", "TiB")
    place = 0
    while count >= 1024 and place < len(units) - 1:
        count, place = count / 1024, place + 1
    return f"{count:.4g} {units[place]}"
