"""What the members of the adversarial training family share: λ, ε, warm-up, and no defence at λ = 1."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from robench.api import BaseConfig, Defense

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api import Step


class FamilyConfig(BaseConfig):
    """Settings of every member."""

    lambda_: float = Field(default=0.5, ge=0, le=1, alias="lambda", description="weight of the clean loss")
    epsilon: float = Field(default=0.2, ge=0, description="training budget")
    warmup: int = Field(default=0, ge=0, description="clean epochs first; none of their weights is kept")
    shortcut: bool = Field(default=True, description="skip the perturbation at λ = 1; False only to test that")


class PerturbedConfig(FamilyConfig):
    """Settings of a member that moves the embedded inputs; ``epsilon`` is relative to the batch's RMS."""

    norm: Literal["l2", "linf"] = "l2"


class TrainingDefense(Defense):
    """L_total = λ · L_original + (1 − λ) · L_robust; a member says what L_robust is.

    λ = 1 is the undefended model bit for bit, whatever the warm-up. The epochs of the warm-up are its epochs bit for
    bit too. A member draws from streams of the step alone, so it never advances the training's own.
    """

    Config = FamilyConfig
    config: FamilyConfig

    @abstractmethod
    def defended(self, step: Step) -> Tensor:
        """What is left to backpropagate of λ · clean + (1 − λ) · robust (parts may be accumulated already): scalar."""

    def loss(self, step: Step) -> Tensor:
        """The clean loss alone while warming up and at λ = 1, else what ``defended`` says."""
        c = self.config
        if step.epoch < c.warmup or (c.lambda_ == 1 and c.shortcut):
            return step.losses(step.embed()).value.mean()
        return self.defended(step)

    def settled(self, epoch: int) -> bool:
        """Whether ``epoch`` (from 0) was trained as λ asks."""
        return self.config.lambda_ == 1 or epoch >= self.config.warmup
