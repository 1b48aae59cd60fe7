"""The findings of a verification: differences, gaps and what was checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from robench.api.errors import UserError, in_lines


@dataclass
class Findings:
    """The findings about one folder.

    Args:
        problems: one line for each difference or damage.
        notes: one line for each part that could not be compared, with the reason.
        checked: one line for each part that was compared and has no problem.
        limits: what the verdict must say about the depth of the verification.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    limits: str = ""

    def refuse(self, where: str, problem: str) -> None:
        """Adds a problem with a file."""
        self.problems.append(str(UserError(problem, where=where)))

    @contextmanager
    def checking(self) -> Iterator[None]:
        """Drops the lines of the block about what was compared if it finds a problem."""
        problems, checked = len(self.problems), len(self.checked)
        yield
        if len(self.problems) > problems:
            del self.checked[checked:]

    def lines(self) -> list[str]:
        """Returns one line per finding, and the verdict as the last line."""
        problems = list(in_lines(self.problems))
        found = len(problems)
        verdict = f"{found} problem{'s' * (found != 1)}" if found else f"verified{self.limits}: nothing differs"
        return [*self.checked, *(f"not compared: {note}" for note in self.notes), *problems, verdict]
