"""What an attack spent, and what its gradients looked like."""

from __future__ import annotations

from dataclasses import dataclass


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
    """Per user to be broken: first gradients seen, and whether one was zero or not finite."""

    judged: int = 0
    zero: int = 0
    non_finite: int = 0
