"""APR: adversarial training on the embedding tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field

from robench.api import Ball
from robench_plugins.defenses.family import FamilyConfig, TrainingDefense

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api import Step


class Apr(TrainingDefense):
    """Adversarial Personalized Ranking (He et al., SIGIR 2018): L(Θ) + λ_APR · L(Θ + Δ_adv) over the tables.

    Δ_adv = ε Γ / ‖Γ‖ with Γ = ∂L/∂Δ at Δ = 0 (the paper's fast gradient step), normalised row by row as in the authors'
    code, one Δ per batch, shared by all that look a row up. A row that the batch's loss does not touch stays. In this
    suite's weights λ_APR = (1 − λ)/λ: L_total = λ L(Θ) + (1 − λ) L(Θ + Δ_adv) is λ times the paper's objective, and the
    record shows both (``train_lambda_apr``; absent at λ = 0, where it is infinite).

    The paper has ε = 0.5 in the embedding's own units (``scale: absolute``), λ_APR = 1, and starts from a trained BPR
    model: give ``warmup``, since from small initial tables that ε destroys the model. The default ``relative`` is this
    suite's budget of the surface ``parameters``: ε times the table's mean row norm, detached.
    The paper is about matrix factorisation; that every model's named tables are perturbed alike is ours. A softmax over
    the catalogue touches every item's row, and so moves all of them.
    """

    class Config(FamilyConfig):
        """Settings; ``epsilon`` is the length of a row's perturbation."""

        epsilon: float = Field(default=0.2, ge=0, description="L2 length of a row of Δ; 0.5 absolute in the paper")
        scale: Literal["relative", "absolute"] = "relative"

    config: Config

    def defended(self, step: Step) -> Tensor:
        """The perturbed part; the clean part is backpropagated on the way, once for optimiser and Γ."""
        c = self.config
        clean = step.losses(step.embed()).value.mean()
        gradients = step.accumulate_tables(c.lambda_ * clean) if c.lambda_ > 0 else step.table_gradients(clean)
        if c.lambda_ > 0:
            step.achieved["lambda_apr"] = (1 - c.lambda_) / c.lambda_
        return (1 - c.lambda_) * step.losses_under(self.perturbation(step, gradients)).value.mean()

    def perturbation(self, step: Step, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        """Δ per table, detached: rows of length ε, or 0 where the gradient's row is 0.

        Args:
            gradients: by the tables, [rows, d] each.
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
