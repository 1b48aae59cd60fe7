"""The base class of all attacks, and the host's answer to a query."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from robench.api.component import Component
from robench.api.surfaces import Surface
from robench.api.threat import Stage, Threat

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api.attacks.ball import Delta

LossName = Literal["ce", "margin", "bpr", "hinge", "ndcg"]
Adaptive = Literal["yes", "oblivious", "frozen"]
Positives = Literal["held-out", "known"]
Kind = Literal["gradient", "minimum-norm", "floor", "black-box", "ensemble"]


class OwnLoss(Protocol):
    """A loss that an attack defines, as a function of masked scores."""

    def __call__(self, scores: Tensor, items: Tensor) -> Tensor:
        """Returns the loss of each user, float [B].

        A higher loss must be better for the attacker. The host differentiates the loss, but judges candidates by damage
        and by its own loss ``ce``.

        Args:
            scores: the scores, float [B, n_items], with −inf at known items.
            items: the held-out items, or the items to promote, int64 [B, H], padded with −1.
        """
        ...


class Attack(Component):
    """A component that proposes perturbations as candidates.

    At test time, the host enforces the budget ε on each candidate, scores the candidate again, and keeps the worst
    candidate. Before the fit, the host only checks the budget. ε is not a setting of ``Config``, because the suite
    lists the values of ε.

    Attributes:
        surface: the surface that the attack perturbs.
        stage: when the attack acts, before the fit (``train``) or after it (``test``).
        adaptive: how the attack depends on the victim. The value is ``yes`` if the attack is computed against this
            victim, including the defence. It is ``oblivious`` if the attack needs no model, and ``frozen`` if the
            attack was computed elsewhere.
        gradient: whether the attack follows the gradient of the loss. A flag is set if such an attack is weaker than a
            floor with no more evaluations. A flag is also set if the attack is weaker than the same attack at a smaller
            ε or with fewer steps.
        heuristic_floor: whether the attack is a floor: an attack with random points or edits, which every gradient
            attack must beat.
        instructs: whether the attack writes instructions to the model. Only a model that sets ``follows`` can obey
            instructions.
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

    def adaptivity(self) -> Adaptive:
        """Returns how the attack depends on the victim, given the attack's settings.

        The default is the attribute ``adaptive``.
        """
        return self.adaptive

    def outside(self) -> str:
        """Returns a digest of further inputs such as weight files, or an empty string.

        Further inputs are inputs outside the victim, the attack's settings and the attack's code. The host calls this
        method before any work, so that missing files are reported early.

        Raises:
            DataError: if a file is missing or broken.
        """
        return ""

    def expectation(self) -> int:
        """Returns the number of scorings over which an evaluation averages.

        The number matters only if the victim draws random numbers at test time. The default is 1.
        """
        return self.setting("expectation", 1)

    def steps(self) -> int | None:
        """Returns the number of steps, or None if the attack has no steps.

        A flag is set if a gradient attack with more steps is weaker than the same attack with fewer steps.
        """
        return self.setting("steps", None)

    def positives(self) -> Positives:
        """Returns which items the attack pushes down: ``held-out`` or ``known``.

        The result matters only for an untargeted attack. Known items are the items in a user's history. The
        default is ``held-out``.
        """
        return self.setting("positives", "held-out")

    @classmethod
    def kind(cls) -> Kind:
        """Returns the attack's kind, which selects the rules for flags and tables."""
        return "gradient" if cls.gradient else "floor" if cls.heuristic_floor else "black-box"


class Evaluation:
    """The host's answer to a query at one perturbation.

    On the surface ``parameters``, one perturbation serves all users. Every row then has the same ``loss``, and no row
    is ``broken``.

    Args:
        loss: the loss of each row, float [B]. A higher loss is worse for the defender.
        broken: whether the goal is reached for each row, bool [B], or a function that computes this mask on first use.
            An untargeted attack must push all held-out items out of the top k. Other attacks must push all promoted
            items into the top k.
        gradient: the gradient of the loss with respect to the perturbation, or None.
    """

    def __init__(self, loss: Tensor, broken: Tensor | Callable[[], Tensor], gradient: Delta | None = None) -> None:
        self.loss, self.gradient, self._broken = loss, gradient, broken

    @cached_property
    def broken(self) -> Tensor:
        """True for each row for which the goal is reached: bool [B]."""
        return self._broken() if callable(self._broken) else self._broken
