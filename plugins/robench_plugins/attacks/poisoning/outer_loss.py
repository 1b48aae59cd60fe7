"""The loss that gradient attacks with fake users lower."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robench_plugins.attacks.poisoning.surrogate import BLOCK_ENTRIES, Vectors


@dataclass(frozen=True, eq=False)
class Slope:
    """The outer loss at some vectors, with its gradients.

    Args:
        value: the outer loss.
        real: the gradient with respect to the vectors of the real users, [U, d].
        items: the gradient with respect to the vectors of the items, [I, d].
    """

    value: float
    real: Tensor
    items: Tensor


def outer_loss(real: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """Returns −mean log softmax(s_u)_t over users u and targets t, a scalar.

    Here s_u are the scores of all items for user u. No item is masked.

    Args:
        real: the vectors of the users, [U, d].
        items: the vectors of the items, [I, d].
        targets: the promoted items, int64 [T].
    """
    loss: Tensor = -(real @ items.mT).log_softmax(1)[:, targets].mean()
    return loss


def slope_of(vectors: Vectors, targets: Tensor, sharpness: float = 0.0) -> Slope:
    """Returns the outer loss of the real users and its gradients.

    With sharpness ρ > 0, the loss and the gradients are those at worse vectors: the vectors of real users and items,
    taken as one vector θ, are moved by ρ ‖θ‖ along the gradient.

    Args:
        vectors: the vectors of a fitted surrogate.
        targets: the promoted items, int64 [T].
        sharpness: the length ρ of the move, as a share of the norm of θ.
    """
    real, items = vectors.real.detach(), vectors.items.detach()
    slope = _slope(real, items, targets)
    if not sharpness:
        return slope
    norm = _norm(slope.real, slope.items)
    if not norm:
        return slope
    step = sharpness * _norm(real, items) / norm
    return _slope(real + step * slope.real, items + step * slope.items, targets)


def _slope(real: Tensor, items: Tensor, targets: Tensor) -> Slope:
    """Returns the outer loss and its gradients, computed for blocks of users."""
    items = items.detach().requires_grad_()
    value, gradients, total = 0.0, [], torch.zeros_like(items)
    for part in real.split(max(1, BLOCK_ENTRIES // len(items))):
        with torch.enable_grad():
            users = part.detach().requires_grad_()
            loss = outer_loss(users, items, targets) * (len(part) / len(real))
            of_users, of_items = torch.autograd.grad(loss, (users, items))
        value += float(loss.detach())
        gradients.append(of_users)
        total += of_items
    return Slope(value, torch.cat(gradients), total)


def _norm(*parts: Tensor) -> float:
    """Returns the L2 norm of several tensors together."""
    return float(torch.stack([part.square().sum() for part in parts]).sum().sqrt())
