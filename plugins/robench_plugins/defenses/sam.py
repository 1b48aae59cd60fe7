"""SAM: training at weights that one gradient step perturbs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from pydantic import Field

from robench.api import Ball
from robench_plugins.defenses.training import TrainingConfig, TrainingDefense

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api import Step


class Sam(TrainingDefense):
    """Trains on the loss at weights that are moved up the gradient.

    Sharpness-aware minimisation (Foret et al., ICLR 2021) minimises max L(w + ε) over ‖ε‖₂ ≤ ρ. Here w are all weights
    of the model, and L is the mean loss of the batch. To first order, the maximum is at ε̂ = ρ g / ‖g‖₂, where g is the
    gradient of L at w (eq. 2 with p = 2). The optimiser then updates w with the gradient of L at w + ε̂ (eq. 3 and
    algorithm 1). Robench minimises L_total = λ L(w) + (1 − λ) L(w + ε̂). So λ = 0 is the objective of the paper, and
    λ = 1 is the undefended model. The setting ``epsilon`` is ρ, in the unit of the weights.

    As in the paper, one norm covers all weights, and weight decay has no part in g. Both passes have the same batch and
    the same dropout. The host clips the sum of both gradients and updates w with Adam, while the paper uses SGD.

    SAM does not perturb the inputs. Compare SAM with the defences that do. A flat minimum may withstand perturbed
    inputs, and SAM shows how much a flat minimum alone gains.
    """

    class Config(TrainingConfig):
        """Settings of SAM."""

        epsilon: float = Field(
            default=0.05, ge=0, description="Length ρ of the step on all weights, in the unit of the weights"
        )

    config: Config

    def total_loss(self, step: Step) -> Tensor:
        """Returns (1 − λ) times the loss at the moved weights, a scalar.

        The method also backpropagates λ times the loss at the weights themselves. This backward pass gives both the
        gradients for the optimiser and those along which the weights are moved.
        """
        c = self.config
        clean = step.losses(step.embed()).value.mean()
        gradients = step.accumulate_weights(c.lambda_ * clean) if c.lambda_ > 0 else step.weight_gradients(clean)
        return (1 - c.lambda_) * step.loss_at(self.perturbation(step, gradients))

    def perturbation(self, step: Step, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns the step of each weight up the gradient, detached.

        Each step has the shape of its weight. The L2 length of all steps together is ``epsilon``, or 0 if the gradient
        is 0.

        Args:
            step: the batch in training.
            gradients: the gradient of the loss with respect to each weight, in the shape of the weight.
        """
        rows = {name: gradient.reshape(1, -1) for name, gradient in gradients.items()}
        ball = Ball("l2", torch.full((1,), self.config.epsilon, device=step.model.device))
        delta = step.spent(ball.ascent(rows), ball)
        return {name: part.reshape(gradients[name].shape) for name, part in delta.items()}
