"""Threat models: what an attack may touch, when, and the unit of its budget ε.

``SURFACES`` is the table of surfaces. The engine, the tables and the flags read their rules from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal

Surface = Literal["embedding", "parameters", "history", "text", "interactions"]
Stage = Literal["test", "train"]
Norm = Literal["l2", "linf", "edits", "words", "characters", "users", "share"]
Scale = Literal["relative", "absolute"]
GoalName = Literal["untargeted", "promote", "demote"]


@dataclass(frozen=True)
class SurfaceRules:
    """The rules that hold for every attack on one surface.

    Args:
        each_user_alone: every user has a perturbation of their own, so the worst case is taken per user. Otherwise one
            perturbation serves all users, and the worst case is the attack with the worst mean.
        leaves_broken_users: an ensemble may stop for a user once the goal is reached. Stored ranks are then bounds.
        ranks_models: models are ranked against each other, because the same ε is the same strength for all of them.
        whole_units: a budget counts whole edits or users. Otherwise ε bounds a length, which no perturbation exceeds.
        scale: the scale of ε unless a suite names one.
        attacks: ``module:class`` of the bases of its attacks, in ``robench.api``.
        measured_by: ``module:class`` of the engine that measures attacks at test time; empty if there are none.
    """

    each_user_alone: bool
    leaves_broken_users: bool
    ranks_models: bool
    whole_units: bool
    attacks: tuple[str, ...]
    scale: Scale = "relative"
    measured_by: str = ""


SURFACES: Mapping[str, SurfaceRules] = MappingProxyType(
    {
        "embedding": SurfaceRules(
            each_user_alone=True,
            leaves_broken_users=True,
            ranks_models=False,
            whole_units=False,
            attacks=("robench.api.attacks.embedding:EmbeddingAttack",),
            measured_by="robench.engine.surfaces.embedding.surface:EmbeddingSurface",
        ),
        "parameters": SurfaceRules(
            each_user_alone=False,
            leaves_broken_users=False,
            ranks_models=False,
            whole_units=False,
            attacks=("robench.api.attacks.embedding:EmbeddingAttack",),
            measured_by="robench.engine.surfaces.parameters.surface:ParametersSurface",
        ),
        "history": SurfaceRules(
            each_user_alone=True,
            leaves_broken_users=True,
            ranks_models=True,
            whole_units=True,
            attacks=("robench.api.attacks.history:HistoryAttack",),
            scale="absolute",
            measured_by="robench.engine.surfaces.history.surface:HistorySurface",
        ),
        "text": SurfaceRules(
            each_user_alone=False,
            leaves_broken_users=False,
            ranks_models=True,
            whole_units=True,
            attacks=("robench.api.attacks.text:TextAttack",),
            measured_by="robench.engine.surfaces.text.surface:TextSurface",
        ),
        "interactions": SurfaceRules(
            each_user_alone=False,
            leaves_broken_users=False,
            ranks_models=True,
            whole_units=True,
            attacks=("robench.api.attacks.poisoning:PoisoningAttack", "robench.api.attacks.poisoning:Corruption"),
        ),
    }
)


def share_in_edits(epsilon: float, length: int) -> int:
    """Returns ⌊ε · length⌋ edits, but at least one edit if ε > 0."""
    # A share such as 0.3 of 10 means 3, although 0.3 · 10 may lie just below in floating point.
    return max(1, int(epsilon * length + 1e-9)) if epsilon > 0 else 0


@dataclass(frozen=True)
class Threat:
    """A threat model. Attacks of two threat models never enter one worst case.

    Args:
        surface: what the attack may touch.
        stage: when it acts, before the fit (``train``) or after it (``test``).
        norm: the norm or unit of ε.
        scale: whether ε is relative to the size of what is attacked.
        goal: ``untargeted`` (held-out items fall), or ``promote`` or ``demote`` target items.
        k: the length of the lists that the goal is about.
    """

    surface: Surface
    stage: Stage
    norm: Norm
    scale: Scale = "relative"
    goal: GoalName = "untargeted"
    k: int = 10

    def problem(self, epsilon: float) -> str:
        """Returns why ε cannot be a budget of this threat model, or an empty text."""
        if self.norm == "edits" and self.scale == "absolute" and epsilon != int(epsilon):
            return f"{epsilon:g} edits: a number of edits is whole; with unit: fraction it is a share of the history"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields by name, for records."""
        return asdict(self)
