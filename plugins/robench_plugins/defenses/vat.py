"""VAT: adversarial training with a budget per user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from robench_plugins.defenses.family import PerturbedConfig, TrainingDefense

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api import Batch, Losses, Step


def vulnerability(losses: Losses, batch: Batch) -> Tensor:
    """g(L(u)) = σ((L̄ − L(u)) / L(u)) of the user of each row, in [0, 1), detached: float [B].

    L(u) is the mean loss of u's targets in the batch, L̄ the mean of L(u) over its users; a row whose batch names no
    user (−1) is a user of its own, and a row without a target has g = 0.
    """
    row, value = losses.row, losses.value.detach()
    size = len(batch.users)
    place = torch.arange(size, device=row.device)
    _, user = torch.unique(torch.where(batch.users >= 0, batch.users, -1 - place), return_inverse=True)
    total = value.new_zeros(size).index_add_(0, user[row], value)
    count = value.new_zeros(size).index_add_(0, user[row], torch.ones_like(value))
    seen = count > 0
    mean = torch.where(seen, total / count.clamp_min(1), 0.0)
    overall = mean.sum() / seen.sum().clamp_min(1)
    # A user whose loss is exactly 0 is as vulnerable as can be: g → 1.
    share = torch.sigmoid((overall - mean) / mean.clamp_min(torch.finfo(mean.dtype).tiny))
    return torch.where(seen, share, 0.0)[user]


class Vat(TrainingDefense):
    """Vulnerability-aware adversarial training (Zhang et al., RecSys 2024): well-fitted users are perturbed more.

    The paper's: δ_u = ρ g(L(u)) Γ / ‖Γ‖ with Γ the gradient of the loss at δ = 0 and g(L(u)) = σ((L̄ − L(u)) / L(u)), so
    a user of average loss has half of ρ, and nobody more than ρ; training starts clean (``warmup``). ρ is ``epsilon``.

    Ours: L(u) is a mean over the batch (the authors' code sums over it, which counts a user's interactions in; and
    multiplies g by 2); a window of a sequence model is a user of its own; ρ is relative to the batch's RMS, and ‖Γ‖ is
    over all inputs of the row; ``norm: linf`` takes the sign instead; the perturbation is on the surface ``embedding``
    only, where the paper also moves the vectors of the two items of a pair. λ weights the two losses as everywhere.
    """

    Config = PerturbedConfig
    config: PerturbedConfig

    def defended(self, step: Step) -> Tensor:
        """The perturbed part; the clean part is backpropagated on the way, once for optimiser and Γ."""
        c = self.config
        e = step.embed()
        losses = step.losses(e)
        epsilon = c.epsilon * vulnerability(losses, step.batch)
        gradient = None
        if c.lambda_ > 0:
            gradient = step.accumulate(c.lambda_ * losses.value.mean(), e)
            e = step.embed()
        step.achieved["epsilon_mean"] = float(epsilon.mean())
        delta = step.perturb(
            e,
            inner="fgsm",
            epsilon=epsilon,
            norm=c.norm,
            objective=lambda moved: step.losses(moved).value.mean(),
            gradient=gradient,
        )
        return (1 - c.lambda_) * step.losses(e.plus(delta)).value.mean()
