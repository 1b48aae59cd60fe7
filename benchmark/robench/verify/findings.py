"""Collects the findings of a verification: problems, notes and successful checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from robench.api.errors import UserError, in_lines


@dataclass
class Findings:
    """The findings about one folder.

    Args:
        problems: one line for each difference, and for each missing or damaged file.
        notes: one line for each part that could not be compared, with the reason.
        checked: one line for each part that was checked. ``checking`` removes the lines of parts with problems.
        limits: the part of the verdict that states how much was measured again.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    limits: str = ""

    def refuse(self, where: str, problem: str) -> None:
        """Adds a problem with a file.

        Args:
            where: the path of the file.
            problem: a description of the problem.
        """
        self.problems.append(str(UserError(problem, where=where)))

    @contextmanager
    def checking(self) -> Iterator[None]:
        """Removes the new entries of ``checked`` if the enclosed block adds a problem."""
        problems, checked = len(self.problems), len(self.checked)
        yield
        if len(self.problems) > problems:
            del self.checked[checked:]

    def lines(self) -> list[str]:
        """Returns the lines of all findings, followed by the verdict."""
        problems = list(in_lines(self.problems))
        found = len(problems)
        verdict = f"{found} problem{'s' * (found != 1)}" if found else f"verified{self.limits}: nothing differs"
        return [*self.checked, *(f"not compared: {note}" for note in self.notes), *problems, verdict]
