"""The findings of a verification: what differs, what could not be compared, and what was checked."""

from __future__ import annotations

from dataclasses import dataclass, field

from robench.api.errors import UserError


@dataclass
class Findings:
    """The findings about one folder.

    Args:
        problems: what differs or is damaged, one line each.
        notes: what could not be compared, and why.
        checked: what was compared, one line each.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)

    def refuse(self, where: str, problem: str) -> None:
        """Adds a problem of a file."""
        self.problems.append(str(UserError(problem, where=where)))

    def lines(self) -> list[str]:
        """Returns all findings, one line each, and the verdict last."""
        found = len(self.problems)
        verdict = f"{found} problem{'s' * (found != 1)}" if found else "verified: nothing differs"
        return [*self.checked, *(f"not compared: {note}" for note in self.notes), *self.problems, verdict]
