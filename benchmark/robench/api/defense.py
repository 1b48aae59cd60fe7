"""Defences: any of cleaning the data, training with another loss, or wrapping the fitted model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robench.api.component import Component
from robench.api.data import FloatArray, Interactions
from robench.api.models.base import Model
from robench.api.rng import Rng

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api.models.step import Step


@dataclass(frozen=True, eq=False)
class Cleaned:
    """Training data after cleaning (rows keep their meaning) and a suspicion per row, float64 [n_users]."""

    train: Interactions
    suspicion: FloatArray


class Defense(Component):
    """Override any of the four methods; what is not overridden is not run.

    ``λ`` is the ``Config`` field ``lambda_`` (alias ``lambda``): the weight of the clean loss; λ = 1 is no defence.
    ``neural``: it serves a ``TorchModel`` only; cells of other models are skipped. One with a ``loss`` always is.
    """

    neural: ClassVar[bool] = False

    def sanitise(self, train: Interactions, rng: Rng) -> Cleaned:
        """Clean the training data. Never sees which rows are fake."""
        raise TypeError(f"{type(self).__name__} has no sanitise()")

    def clean_text(self, title: str) -> str:
        """The title as the model shall read it, in training and at test time."""
        raise TypeError(f"{type(self).__name__} has no clean_text()")

    def loss(self, step: Step) -> Tensor:
        """What is left to backpropagate in this step (parts may be accumulated already): a scalar."""
        raise TypeError(f"{type(self).__name__} has no loss()")

    def wrap(self, model: Model, rng: Rng) -> Model:
        """The model to measure, around the fitted one."""
        raise TypeError(f"{type(self).__name__} has no wrap()")

    def settled(self, epoch: int) -> bool:
        """Whether weights after this epoch (from 0) may be kept.

        False while the defence is still warming up: those weights are undefended, and validation would select them.
        """
        return True

    @classmethod
    def overrides(cls, method: str) -> bool:
        """Whether this defence has ``method`` of its own."""
        return getattr(cls, method) is not getattr(Defense, method)

    def strength(self) -> tuple[float, float | None]:
        """(λ, training ε) for the tables: (1.0, None) unless ``Config`` has these fields."""
        return float(self.setting("lambda_", 1.0)), self.setting("epsilon", None)
