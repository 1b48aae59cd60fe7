"""RevAdv: gradients through the last rounds of a surrogate's fit."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from robench_plugins.attacks.poisoning.gradient_attack import GradientAttack, GradientConfig
from robench_plugins.attacks.poisoning.outer_loss import OuterLoss
from robench_plugins.attacks.poisoning.surrogate import Surrogate


class RevAdv(GradientAttack):
    """Adds fake users that a gradient through the fit of a surrogate improves.

    This is the attack of Tang, Wen & Wang (RecSys 2020). The profiles A lower L(θ*(A)). Here θ*(A) are the vectors of a
    surrogate that is fitted on the real rows and A, and L is the outer loss that ``OuterLoss`` defines. The gradient
    dL/dA flows back only through the last ``unrolled`` rounds of the fit, which bounds the memory. It includes the
    effects on the vectors of items, fake users and real users.

    The attack differs from the paper in four points. The targets are in every profile, and the candidate with the
    lowest outer loss is returned. (With few interactions of a target its hit rate stays at 0, so a choice by hit rates
    returns the first candidate.) A profile has a fixed size, while the paper keeps all entries above a threshold. The
    surrogate is fitted by alternating least squares with a fixed number of rounds. The paper's surrogates are fitted
    for 50 epochs, whose number of steps grows with the data. Fractions of an interaction mix two losses (see
    ``Surrogate``).

    With ``sharpness``, the gradient is taken at a worse surrogate. This is the step of SharpAP (Xie et al., 2026),
    which approximates the surrogate with the largest outer loss within a radius. Here the radius is relative to the
    norm of the surrogate's vectors.
    """

    class Config(GradientConfig):
        """Settings of RevAdv."""

        unrolled: int = Field(
            default=2,
            ge=1,
            description="Last rounds through which gradients flow; the paper's share of a fit, 10 of 50 epochs",
        )

    config: Config

    def loss_and_gradient(self, surrogate: Surrogate, profiles: Tensor, loss: OuterLoss) -> tuple[float, Tensor]:
        """Returns the outer loss and its gradient through the last rounds of the fit."""
        with torch.enable_grad():
            variable = profiles.detach().requires_grad_()
            vectors = surrogate.fit(variable, self.config.rounds, self.config.unrolled)
            slope = loss.slope(vectors, self.config.sharpness)
            outputs = [(vectors.items, slope.items), (vectors.real, slope.real)]
            used = [pair for pair in outputs if pair[0].requires_grad]  # one unrolled round fits real users before A
            tensors, gradients = zip(*used, strict=True)
            return slope.value, torch.autograd.grad(tensors, variable, gradients)[0]
