"""AMR: adversarial training on the vectors of items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field

from robench.api import Ball
from robench_plugins.defenses.training import TrainingConfig, TrainingDefense

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api import Model, Step


class Amr(TrainingDefense):
    """Trains on vectors of items that one gradient step perturbs within ε.

    Adversarial Multimedia Recommendation (Tang et al., TKDE 2019) minimises L(Θ) + λ_AMR · L(Θ, Δ_adv). Here L is the
    model's own loss, Θ are its weights, and Δ is a shift of the vectors of items, such as those of pictures. The
    adversarial shift is Δ_adv = ε Γ / ‖Γ‖ with Γ = ∂L/∂Δ at Δ = 0, item by item. There is one Δ per batch. An item that
    does not affect the loss of the batch is not perturbed. Robench minimises L_total = λ L(Θ) + (1 − λ) L(Θ, Δ_adv).
    This is λ times the objective of the paper if λ_AMR = (1 − λ)/λ. The record holds both weights.
    (``train_lambda_amr`` is absent if λ = 0, because it would be infinite.)

    The paper starts from a trained model, which ``warmup`` does. The default scale ``relative`` is the budget of the
    surface ``features``: ε times the root mean square of the vectors, times √d in L2.
    """

    class Config(TrainingConfig):
        """Settings of AMR."""

        norm: Literal["l2", "linf"] = Field(default="l2", description="Norm of the ball that each shift stays in")
        epsilon: float = Field(default=0.2, ge=0, description="Size of each vector's shift; scale sets its unit")
        scale: Literal["relative", "absolute"] = Field(
            default="relative",
            description="Whether ε is relative to the RMS of the vectors, or in their unit",
        )

    config: Config

    def problem(self, model: type[Model]) -> str:
        """Returns why the defence cannot protect a model, or an empty string if it can."""
        problem = super().problem(model)
        return problem or ("" if model.feature_table else "reads no vectors of items")

    def total_loss(self, step: Step) -> Tensor:
        """Returns 1 − λ times the loss at the shifted vectors, a scalar.

        The method also backpropagates λ times the loss at the vectors themselves. This backward pass gives both the
        gradients for the optimiser and those that determine the shift.
        """
        c = self.config
        ((name, vectors),) = step.features().items()
        origin = {name: torch.zeros_like(vectors, requires_grad=True)}
        clean = step.losses_under(origin).value.mean()
        if c.lambda_ > 0:
            torch.autograd.backward(c.lambda_ * clean)
            gradient = origin[name].grad
            step.achieved["lambda_amr"] = (1 - c.lambda_) / c.lambda_
        else:
            (gradient,) = torch.autograd.grad(clean, [origin[name]], allow_unused=True)
        gradient = torch.zeros_like(vectors) if gradient is None else gradient
        return (1 - c.lambda_) * step.losses_under({name: self.shift(step, vectors, gradient)}).value.mean()

    def shift(self, step: Step, vectors: Tensor, gradient: Tensor) -> Tensor:
        """Returns the adversarial shift of all vectors, detached: [n_items, d].

        Every row has length ε in the unit of ``scale``, or 0 if the item has no vector or no gradient.

        Args:
            step: the batch in training.
            vectors: the vectors of all items, [n_items, d].
            gradient: the gradient of the loss with respect to the vectors, [n_items, d].
        """
        c, present = self.config, vectors.any(1)
        radius = c.epsilon
        if c.scale == "relative":
            length = vectors.shape[1] ** 0.5 if c.norm == "l2" else 1.0
            radius *= float(vectors[present].square().mean().sqrt()) * length
        ball = Ball(c.norm, present * radius)
        return step.spent(ball.ascent({"": gradient}), ball)[""]
