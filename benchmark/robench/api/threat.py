"""Threat models: what an attack may touch, when, and in which unit its budget ε is counted (design A4)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Surface = Literal["embedding", "parameters", "history", "text", "interactions"]
Stage = Literal["test", "train"]
Norm = Literal["l2", "linf", "edits", "words", "characters", "users", "share"]
Scale = Literal["relative", "absolute"]
GoalName = Literal["untargeted", "promote", "demote"]
EACH_USER_ALONE: tuple[Surface, ...] = ("embedding", "history")  # elsewhere one perturbation serves all users


def share_in_edits(epsilon: float, length: int) -> int:
    """⌊ε · length⌋ edits, at least one where ε > 0."""
    # A share such as 0.3 of 10 means 3, although 0.3 · 10 may lie just below in floating point.
    return max(1, int(epsilon * length + 1e-9)) if epsilon > 0 else 0


@dataclass(frozen=True)
class Threat:
    """(surface, stage, norm or unit, scale, goal, k). Attacks of two threats are never mixed in one worst case."""

    surface: Surface
    stage: Stage
    norm: Norm
    scale: Scale = "relative"
    goal: GoalName = "untargeted"
    k: int = 10

    def problem(self, epsilon: float) -> str:
        """Why ε cannot be a budget of this threat model, or empty."""
        if self.norm == "edits" and self.scale == "absolute" and epsilon != int(epsilon):
            return f"{epsilon:g} edits: a number of edits is whole; with unit: fraction it is a share of the history"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Plain fields, for records."""
        return asdict(self)
