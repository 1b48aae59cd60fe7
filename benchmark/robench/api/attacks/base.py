"""The base class of attacks, and the host's answers to queries."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

from robench.api.component import Component
from robench.api.surfaces import Surface
from robench.api.threat import Stage, Threat

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api.attacks.ball import Delta

LossName = Literal["ce", "margin", "bpr"]
Adaptive = Literal["yes", "oblivious", "frozen"]
Positives = Literal["held-out", "known"]
Kind = Literal["gradient", "minimum-norm", "floor", "black-box", "ensemble"]


class Attack(Component):
    """A component that proposes perturbations as candidates.

    The host enforces the budget ε on each candidate, scores the candidate again, and keeps the worst candidate. ε is
    not a setting of ``Config``, because the suite lists the values of ε.

    Attributes:
        surface: the surface that the attack perturbs.
        stage: when the attack acts, before the fit (``train``) or after it (``test``).
        adaptive: ``yes`` if the attack is computed against this victim, including its defence. ``oblivious`` if the
            attack needs no model. ``frozen`` if the attack was computed elsewhere.
        gradient: whether the attack follows the gradient of the loss. To set flags, such an attack is compared with
            random points, with a smaller ε, and with fewer steps.
        heuristic_floor: whether the attack tries random points, which every gradient attack must beat.
        instructs: whether the attack writes instructions. Only a model that sets ``follows`` can obey instructions.
    """

    surface: ClassVar[Surface]
    stage: ClassVar[Stage]
    adaptive: ClassVar[Adaptive] = "yes"
    gradient: ClassVar[bool] = False
    heuristic_floor: ClassVar[bool] = False
    instructs: ClassVar[bool] = False

    @abstractmethod
    def threat(self) -> Threat:
        """Returns the threat model of this configuration."""

    def outside(self) -> str:
        """Returns a digest of other inputs, or an empty string if there are none.

        Other inputs, such as weight files, are not part of the victim, the attack's settings or the attack's code. The
        host calls this method before any work, so that missing files are reported early.

        Raises:
            DataError: if a file is missing or broken.
        """
        return ""

    def expectation(self) -> int:
        """Returns the number of draws over which a query averages.

        The number matters only for a stochastic victim. The default is 1.
        """
        return self.setting("expectation", 1)

    def steps(self) -> int | None:
        """Returns the number of steps, or None if the attack has no steps.

        Flags compare gradient attacks by their numbers of steps.
        """
        return self.setting("steps", None)

    def positives(self) -> Positives:
        """Returns the items that the attack pushes down.

        The default is ``held-out``.
        """
        return self.setting("positives", "held-out")

    @classmethod
    def kind(cls) -> Kind:
        """Returns the kind of attack, which selects the rules for flags and tables."""
        return "gradient" if cls.gradient else "floor" if cls.heuristic_floor else "black-box"


class Evaluation:
    """The host's answer to a query at one perturbation.

    On the surface ``parameters``, one δ serves all users, so ``loss`` and ``broken`` are the same for every row.

    Args:
        loss: the loss of each row, float [B]. A higher loss is worse for the defender.
        broken: whether each row reaches the goal, bool [B], or a function that computes this on first use. The goal is
            reached if all held-out items are outside the top k, or if all promoted items are inside.
        gradient: the gradient of the loss with respect to δ, or None.
    """

    def __init__(self, loss: Tensor, broken: Tensor | Callable[[], Tensor], gradient: Delta | None = None) -> None:
        self.loss, self.gradient, self._broken = loss, gradient, broken

    @cached_property
    def broken(self) -> Tensor:
        """True for the rows that reach the goal: bool [B]."""
        return self._broken() if callable(self._broken) else self._broken
