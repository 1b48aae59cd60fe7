"""APR: adversarial training on the embedding tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field

from robench.api import Ball
from robench_plugins.defenses.training import TrainingConfig, TrainingDefense

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api import Step


class Apr(TrainingDefense):
    """Trains on embedding tables that one gradient step perturbs within ε.

    Adversarial Personalized Ranking (He et al., SIGIR 2018) minimises L(Θ) + λ_APR · L(Θ + Δ_adv). Here L is the
    model's own loss, Θ are the embedding tables, and Δ is a shift of the tables. The adversarial shift is Δ_adv = ε Γ /
    ‖Γ‖ with Γ = ∂L/∂Δ at Δ = 0. As in the authors' code, Γ is normalised row by row. There is one Δ per batch, and
    every lookup of a row shares it. A row that does not affect the loss of the batch is not perturbed. Robench
    minimises L_total = λ L(Θ) + (1 − λ) L(Θ + Δ_adv). This is λ times the objective of the paper if λ_APR = (1 − λ)/λ.
    The record holds both weights. (``train_lambda_apr`` is absent if λ = 0, because it would be infinite.)

    The paper uses ε = 0.5 in the unit of the embeddings (``scale: absolute``) and λ_APR = 1, and starts from a trained
    BPR model. An ε of this size would destroy a model with small initial tables, so set ``warmup`` too. The default
    scale ``relative`` is the budget of the surface ``parameters``: ε times the mean row norm of the table, detached.
    The paper covers matrix factorisation. Here the named tables of every model are perturbed in the same way. A softmax
    over the catalogue depends on the rows of all items, so all of them are perturbed.
    """

    class Config(TrainingConfig):
        """Settings of APR."""

        epsilon: float = Field(
            default=0.2, ge=0, description="L2 length of each row of the perturbation; scale sets its unit"
        )
        scale: Literal["relative", "absolute"] = Field(
            default="relative",
            description="Whether ε counts in mean row norms of the table (relative) or in the unit of the embeddings",
        )

    config: Config

    def total_loss(self, step: Step) -> Tensor:
        """Returns 1 − λ times the loss at the shifted tables, a scalar.

        The method also backpropagates λ times the loss at the tables themselves. This backward pass gives both the
        gradients for the optimiser and those that determine the shift.
        """
        c = self.config
        clean = step.losses(step.embed()).value.mean()
        gradients = step.accumulate_tables(c.lambda_ * clean) if c.lambda_ > 0 else step.table_gradients(clean)
        if c.lambda_ > 0:
            step.achieved["lambda_apr"] = (1 - c.lambda_) / c.lambda_
        return (1 - c.lambda_) * step.losses_under(self.perturbation(step, gradients)).value.mean()

    def perturbation(self, step: Step, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        """Returns the adversarial shift of each table, detached: [rows, d] each.

        Every row has length ε in the unit of ``scale``, or 0 if the row of the gradient is 0.

        Args:
            step: the batch in training.
            gradients: the gradient of the loss with respect to each table, [rows, d] each.
        """
        delta, share = {}, 0.0
        for name, gradient in gradients.items():
            table = step.tables()[name].detach()
            radius = self.config.epsilon
            if self.config.scale == "relative":
                radius *= float(table.flatten(1).norm(dim=1).mean())
            ball = Ball("l2", torch.full((len(gradient),), radius, dtype=gradient.dtype, device=gradient.device))
            delta[name] = ball.ascent({name: gradient})[name].detach()
            longest = float(delta[name].flatten(1).norm(dim=1).max())
            share = max(share, longest / radius if radius else 0.0)
        step.achieved["epsilon_share"] = share
        return delta
