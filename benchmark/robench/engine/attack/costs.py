"""What an attack spent, and what its gradients looked like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace


@dataclass
class Costs:
    """What an attack spent: user-level score evaluations and gradients; how far it overshot its budget, in radii."""

    queries: int = 0
    gradients: int = 0
    overshoot: float = 0.0

    def add(self, other: Costs) -> None:
        """Take another's costs too."""
        self.queries += other.queries
        self.gradients += other.gradients
        self.overshoot = max(self.overshoot, other.overshoot)


@dataclass
class Diagnosis:
    """Per user to be broken, the first gradient seen, and whether it was zero or not finite; for titles per item.

    Each user is judged once, whatever attacks of an ensemble follow: those left to the later ones are a selection.
    """

    judged: int = 0
    zero: int = 0
    non_finite: int = 0
    users: set[int] = field(default_factory=set)

    def fresh(self, users: Sequence[int]) -> list[int]:
        """Positions of those not judged before; they count as judged from here on."""
        found = [at for at, user in enumerate(users) if user not in self.users]
        self.users.update(users)
        return found

    def copy(self) -> Diagnosis:
        """The same, on its own."""
        return replace(self, users=set(self.users))
