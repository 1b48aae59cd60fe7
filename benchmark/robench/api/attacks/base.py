"""Attacks: a plugin proposes, the host projects, re-scores and keeps the worst."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

from robench.api.component import Component
from robench.api.threat import Stage, Surface, Threat

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api.attacks.ball import Delta

LossName = Literal["ce", "margin", "bpr"]
Adaptive = Literal["yes", "oblivious", "frozen"]
Positives = Literal["held-out", "known"]
Kind = Literal["gradient", "minimum-norm", "floor", "black-box", "ensemble"]


class Attack(Component):
    """Base of all attacks. ε is not part of ``Config``: it is the suite's grid axis and the host's to enforce.

    The flags of a leaderboard ask for ``gradient`` (climbs the loss by gradients: judged against random points, smaller
    ε and fewer steps) and ``heuristic_floor`` (random points, which every gradient attack must beat).
    ``instructs``: it writes instructions, which only a model with ``follows`` may take for what it is asked.
    """

    surface: ClassVar[Surface]
    stage: ClassVar[Stage]
    adaptive: ClassVar[Adaptive] = "yes"
    gradient: ClassVar[bool] = False
    heuristic_floor: ClassVar[bool] = False
    instructs: ClassVar[bool] = False

    @abstractmethod
    def threat(self) -> Threat:
        """The threat model of this configuration."""

    def outside(self) -> str:
        """A digest of what the attack depends on besides the victim, its settings and code: files of weights, say.

        Raises:
            DataError: they are missing or broken; told before any work.
        """
        return ""

    def expectation(self) -> int:
        """Returns how many draws one query of a stochastic victim averages: the setting ``expectation``, or 1."""
        return self.setting("expectation", 1)

    def steps(self) -> int | None:
        """Returns the setting ``steps``, by which flags compare gradient attacks; None if the attack has none."""
        return self.setting("steps", None)

    def positives(self) -> Positives:
        """Returns the items that the attack pushes down: the setting ``positives``, or the held-out ones."""
        return self.setting("positives", "held-out")

    @classmethod
    def kind(cls) -> Kind:
        """What the attack is to the flags."""
        return "gradient" if cls.gradient else "floor" if cls.heuristic_floor else "black-box"


class Evaluation:
    """What the host says of a perturbation.

    ``loss`` float [B], higher is worse for the defender; ``broken`` bool [B], the goal is reached: all held-out items
    out of the top k, or all promoted items in it; ``gradient`` of the loss by δ, or None. On the surface
    ``parameters`` one δ serves all users: both are the same for every row.
    """

    def __init__(self, loss: Tensor, broken: Tensor | Callable[[], Tensor], gradient: Delta | None = None) -> None:
        self.loss, self.gradient, self._broken = loss, gradient, broken

    @cached_property
    def broken(self) -> Tensor:
        """Computed when it is asked for."""
        return self._broken() if callable(self._broken) else self._broken
