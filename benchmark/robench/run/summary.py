"""Counts the cells of a run and lists the failures."""

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
        error: the error on one line.
    """

    cell: str
    victim: str
    name: str
    error: str


@dataclass
class Summary:
    """The outcome of one run: its counts of cells, its duration and its failures."""

    folder: Path
    measured: int = 0
    stored: int = 0
    skipped: int = 0
    seconds: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    _failed: set[str] = field(default_factory=set)

    def add_failure(self, failure: Failure) -> str:
        """Adds a failed cell.

        Returns:
            A line about the first failure of a victim, to be shown at once. The line is empty for later failures.
        """
        known = failure.victim in self._failed
        self._failed.add(failure.victim)
        self.failures.append(failure)
        return "" if known else f"failed: {failure.victim}, {failure.name}: {failure.error}"

    def failure_lines(self) -> list[str]:
        """Returns lines about failed cells, for the end of a run.

        If failed cells of one victim have the same error, they share a line. The error of a victim's first failure is
        not repeated, because ``add_failure`` has already returned it.
        """
        groups: dict[tuple[str, str], list[Failure]] = {}
        for failure in self.failures:
            groups.setdefault((failure.victim, failure.error), []).append(failure)
        firsts = dict(reversed(groups))  # the first error of each victim
        return [
            self._line(failures, "" if error == firsts[victim] else f": {error}")
            for (victim, error), failures in groups.items()
        ]

    def _line(self, failures: list[Failure], error: str) -> str:
        first, count = failures[0], counted(len(failures), "cell")
        return f"failed: {first.victim}: {count}{error} (robench show {self.folder / first.cell})"
