"""Threat models: what an attack may perturb, when it acts, and the unit of ε."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from robench.api import edit_rules, knowledge, title_rules
from robench.api.edit_rules import EditRules
from robench.api.knowledge import Knowledge
from robench.api.surfaces import SURFACES, Scale, Surface
from robench.api.title_rules import TitleRules

Stage = Literal["test", "train"]
_SEEN = "(lists|scores)(-popular)?"  # what an attack on membership sees
_STATED = "|".join(
    re.sub(r"[?]P<[a-z]+>", "", part) for part in (title_rules.PATTERN, knowledge.PATTERN, edit_rules.PATTERN, _SEEN)
)
# the norms; those on histories and titles state the rules for edits, and those of fake users the attacker's knowledge
NORMS = f"^(l2|linf|share|{_STATED})$"
Norm = Annotated[str, Field(pattern=NORMS)]
GoalName = Literal["untargeted", "promote", "demote"]


def share_in_edits(epsilon: float, length: int) -> int:
    """Converts a share of a length to a number of edits.

    The number is ⌊ε · length⌋, but at least 1 if ε > 0.
    """
    # A share of 0.3 of 10 means 3, although 0.3 · 10 may be slightly below 3 in floating point.
    return max(1, int(epsilon * length + 1e-9)) if epsilon > 0 else 0


def round_up(epsilon: float, count: int) -> int:
    """Returns ⌈ε · count⌉.

    A rounding error of the product has no effect. For example, 0.07 · 100 gives 7, although the computed product is
    slightly above 7.
    """
    return math.ceil(round(epsilon * count, 9))


@dataclass(frozen=True)
class Threat:
    """A threat model: what an attack may perturb, when it acts, and what ε means.

    A worst case is never taken over attacks with different threat models.

    Args:
        surface: the surface that the attack may perturb.
        stage: when the attack acts, before the fit (``train``) or after it (``test``).
        norm: the norm that ε bounds, or the unit in which ε counts. On histories, it is ``edits`` followed by the rules
            for edits. See ``EditRules``. On titles, it is the unit followed by the rules for edits. See ``TitleRules``.
            For fake users, it is ``users`` followed by the attacker's knowledge. See ``Knowledge``.
        scale: ``relative`` if ε is relative to the size of the attacked values, or ``absolute``.
        goal: ``untargeted`` (held-out items fall), ``promote`` (targets rise) or ``demote`` (targets fall).
        k: the length of the top lists to which the goal refers.
    """

    surface: Surface
    stage: Stage
    norm: Norm
    scale: Scale = "relative"
    goal: GoalName = "untargeted"
    k: int = 10

    @property
    def rules(self) -> EditRules | None:
        """The rules for edits of histories, or None on any other surface."""
        return EditRules.of(self.norm) if self.surface == "history" else None

    @property
    def title_rules(self) -> TitleRules | None:
        """The rules for edits of titles, or None on any other surface."""
        return TitleRules.of(self.norm) if self.surface == "text" else None

    @property
    def knowledge(self) -> Knowledge | None:
        """The knowledge of an attack with fake users, or None for any other attack."""
        return Knowledge.of(self.norm) if self.surface == "interactions" else None

    @property
    def ranks_models(self) -> bool:
        """True if tables of this threat model rank models against each other.

        On histories, only some models have gradients. Therefore, models are not compared if attackers may use
        gradients.
        """
        return SURFACES[self.surface].ranks_models and not (self.rules and self.rules.white_box)

    def problem(self, epsilon: float) -> str:
        """Returns why ε is not a valid budget of this threat model, or an empty string."""
        if self.surface == "history" and self.scale == "absolute" and epsilon != int(epsilon):
            return f"{epsilon:g} edits: a number of edits is whole; with unit: fraction it is a share of the history"
        return ""

    def as_dict(self) -> dict[str, Any]:
        """Returns the fields by name, for records."""
        return asdict(self)
