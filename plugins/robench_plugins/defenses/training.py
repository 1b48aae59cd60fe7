"""The base class of the defences that train on perturbations."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from robench.api import BaseConfig, Defense, SettingError
from robench.api.component import search

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api import Step


class TrainingConfig(BaseConfig):
    """Settings of every defence that trains on perturbations."""

    lambda_: float = Field(
        default=0.5, ge=0, le=1, alias="lambda", description="Weight λ of the clean loss; 1 trains without a defence"
    )
    epsilon: float = Field(
        default=0.2, ge=0, description="Size of the perturbation in training, relative to the RMS of the batch's inputs"
    )
    warmup: int = Field(
        default=0,
        ge=0,
        description="Epochs of clean training at the beginning; their weights are never selected",
        json_schema_extra=search(choices=[0, 1, 2, 4]),
    )
    shortcut: bool = Field(
        default=True, description="Skip the perturbation if λ = 1; false serves only to test that it has no effect"
    )


class PerturbationConfig(TrainingConfig):
    """Settings of a defence that perturbs the embedded inputs."""

    norm: Literal["l2", "linf"] = Field(default="l2", description="Norm of the ball that the perturbation stays in")


class TrainingDefense(Defense):
    """Trains on L_total = λ · L_clean + (1 − λ) · L_robust.

    L_clean is the model's own loss on the clean inputs, and each subclass defines L_robust. With λ = 1 the model is bit
    for bit the undefended one, with any warm-up. The epochs of the warm-up are bit for bit those of the undefended
    model too. A subclass draws only from the streams of the step, so it never advances the stream of the training.
    """

    Config = TrainingConfig
    config: TrainingConfig

    @abstractmethod
    def total_loss(self, step: Step) -> Tensor:
        """Returns the loss that is left to backpropagate, a scalar.

        The loss is the sum of a weighted clean loss and a weighted robust loss. A subclass may backpropagate one of
        these terms itself, and return only the other term.
        """

    def loss(self, step: Step) -> Tensor:
        """Returns the loss that is left to backpropagate, a scalar.

        This is the clean loss during the warm-up. It is also the clean loss if λ = 1, unless ``shortcut`` is off.
        Otherwise, it is the result of ``total_loss``.
        """
        c = self.config
        if step.epoch < c.warmup or (c.lambda_ == 1 and c.shortcut):
            return step.losses(step.embed()).value.mean()
        return self.total_loss(step)

    def check_epochs(self, epochs: int) -> None:
        """Refuses a warm-up that is at least as long as the training, unless λ is 1.

        Raises:
            SettingError: if the warm-up is too long. The error names the field ``warmup``.
        """
        if not self.settled(epochs - 1):
            hint = f"give it a warmup below {epochs}, or the model more epochs"
            raise SettingError("is still warming up after them", "warmup", hint)

    def settled(self, epoch: int) -> bool:
        """Returns whether an epoch comes after the warm-up, or λ is 1.

        Args:
            epoch: the number of the epoch, from 0.
        """
        return self.config.lambda_ == 1 or epoch >= self.config.warmup
