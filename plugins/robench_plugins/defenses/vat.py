"""VAT: adversarial training with a budget per user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from robench_plugins.defenses.training import PerturbationConfig, TrainingDefense

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api import Batch, Losses, Step


def vulnerability(losses: Losses, batch: Batch) -> Tensor:
    """Returns the vulnerability g(L(u)) of each row's user, float [B].

    The definition is g(L(u)) = σ((L̄ − L(u)) / L(u)), detached and in [0, 1]. Here σ is the logistic function. L(u) is
    the mean loss of the user's targets in the batch. L̄ is the mean of L(u) over the users of the batch. A row without
    a user (−1) counts as a separate user, and a row without a target has g = 0.

    Args:
        losses: the loss of every target, and the row of the batch to which the target belongs.
        batch: the batch, with B rows.
    """
    row, value = losses.row, losses.value.detach()
    size = len(batch.users)
    place = torch.arange(size, device=row.device)
    _, user = torch.unique(torch.where(batch.users >= 0, batch.users, -1 - place), return_inverse=True)
    total = value.new_zeros(size).index_add_(0, user[row], value)
    count = value.new_zeros(size).index_add_(0, user[row], torch.ones_like(value))
    has_target = count > 0
    mean = torch.where(has_target, total / count.clamp_min(1), 0.0)
    overall = mean.sum() / has_target.sum().clamp_min(1)
    # A user whose loss is exactly 0 is as vulnerable as possible: g → 1.
    share = torch.sigmoid((overall - mean) / mean.clamp_min(torch.finfo(mean.dtype).tiny))
    return torch.where(has_target, share, 0.0)[user]


class Vat(TrainingDefense):
    """Trains on inputs that are perturbed within a budget per user.

    The budget grows as the loss of the user falls. In vulnerability-aware adversarial training (Zhang et al., RecSys
    2024), the perturbation of a user u is ρ g(L(u)) Γ / ‖Γ‖. Here Γ is the gradient of the loss at the clean inputs.
    The vulnerability is g(L(u)) = σ((L̄ − L(u)) / L(u)). In this formula L(u) is the loss of u, L̄ is the mean loss, and
    σ is the logistic function. So a user with an average loss gets half of ρ, and no user gets more than ρ. The setting
    ``epsilon`` is ρ. As in the paper, training can start clean (``warmup``).

    This defence deviates from the paper as follows.

    - L(u) is a mean over the user's targets in the batch. The authors' code uses a sum, which depends on the number of
      a user's interactions. Their code also multiplies g by 2.
    - A window of a sequence model counts as a separate user.
    - ρ is relative to the RMS of the batch, and ‖Γ‖ covers all inputs of the row.
    - With ``norm: linf``, the sign of Γ replaces Γ / ‖Γ‖.
    - Only the embedded inputs are perturbed. The paper also moves the vectors of the two items of a pair.
    - λ weights the two losses as in every training defence.
    """

    Config = PerturbationConfig
    config: PerturbationConfig

    def total_loss(self, step: Step) -> Tensor:
        """Returns (1 − λ) · L_robust, a scalar.

        L_robust is the model's own loss on the perturbed inputs, and L_clean is that on the clean inputs. The method
        also backpropagates λ · L_clean. This backward pass gives both the gradients for the optimiser and the direction
        of the perturbation.
        """
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
