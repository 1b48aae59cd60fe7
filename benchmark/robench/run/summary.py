"""The summary of a run, with the counts of its cells and its failures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Failure:
    """A cell that failed, with its id, its readable name, and the error in one line."""

    cell: str
    name: str
    error: str


@dataclass
class Summary:
    """The counts of one run: cells that were measured, already stored, skipped, or failed."""

    folder: Path
    measured: int = 0
    stored: int = 0
    skipped: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    def failure_lines(self) -> list[str]:
        """Returns one line for the user about each failed cell."""
        return [
            f"failed: {one.name}: {one.error} (robench show {self.folder}/cells/{one.cell}.json)"
            for one in self.failures
        ]
