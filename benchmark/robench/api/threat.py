"""Threat models: what an attack may touch, when, and in which unit its budget ε is counted (design A4)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Surface = Literal["embedding", "parameters", "history", "text", "interactions"]
Stage = Literal["test", "train"]
Norm = Literal["l2", "linf", "edits", "words", "characters", "users", "share"]
Scale = Literal["relative", "absolute"]
Goal = Literal["untargeted", "promote", "demote"]


@dataclass(frozen=True)
class Threat:
    """(surface, stage, norm or unit, scale, goal, k). Attacks of two threats are never mixed in one worst case."""

    surface: Surface
    stage: Stage
    norm: Norm
    scale: Scale = "relative"
    goal: Goal = "untargeted"
    k: int = 10

    def problem(self, epsilon: float) -> str:
        """Why ε cannot be a budget of this threat model, or empty."""
        if self.norm == "edits" and self.scale == "absolute" and epsilon != int(epsilon):
            return f"{epsilon:g} edits: a number of edits is whole; with unit: fraction it is a share of the history"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Plain fields, for records."""
        return asdict(self)
