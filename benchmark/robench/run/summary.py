"""The summary of a run, with the counts of its cells and its failures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from robench.api.errors import counted


@dataclass(frozen=True)
class Failure:
    """A cell that failed.

    Args:
        cell: the id of the cell.
        victim: the readable name of the cell's victim.
        name: what was measured, such as ``fgsm ε=0.1``.
        error: the error in one line.
    """

    cell: str
    victim: str
    name: str
    error: str


@dataclass
class Summary:
    """The counts of one run: measured, stored, skipped and failed cells."""

    folder: Path
    measured: int = 0
    stored: int = 0
    skipped: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    def failure_lines(self) -> list[str]:
        """Returns the lines for the user about failed cells.

        The failed cells of a victim that have the same error share a line.
        """
        groups: dict[tuple[str, str], list[Failure]] = {}
        for failure in self.failures:
            groups.setdefault((failure.victim, failure.error), []).append(failure)
        return [self._line(failures) for failures in groups.values()]

    def _line(self, failures: list[Failure]) -> str:
        first, more = failures[0], len(failures) - 1
        cells = f"{first.name} and {counted(more, 'more cell')}" if more else first.name
        return f"failed: {first.victim}, {cells}: {first.error} (robench show {self.folder / first.cell})"
