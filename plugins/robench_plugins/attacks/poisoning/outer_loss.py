"""The loss that gradient attacks with fake users lower."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robench.api import IntArray, Interactions
from robench.api.threat import GoalName
from robench_plugins.attacks.poisoning.surrogate import BLOCK_ENTRIES, Vectors


@dataclass(frozen=True, eq=False)
class Slope:
    """The outer loss at some vectors, with its gradients.

    Args:
        value: the outer loss.
        real: the gradient with respect to the vectors of the real users, [users, d].
        items: the gradient with respect to the vectors of the items, [items, d].
    """

    value: float
    real: Tensor
    items: Tensor


class OuterLoss:
    """The loss of an attack at the vectors of a surrogate.

    Let s_u be the scores of all items for a real user u. No item is masked. With the goal ``promote``, the loss is
    −mean log softmax(s_u)_t over all users u and targets t (Tang et al., RecSys 2020). With ``demote``, it is the
    negative of this value. With ``untargeted``, it is mean log softmax(s_u)_i over the training items i of each user,
    averaged over the users: a user's own items should get low scores.

    Args:
        train: the training items of the real users that the attack sees.
        targets: the targets, int64 [T].
        goal: the goal of the attack.
    """

    def __init__(self, train: Interactions, targets: IntArray, goal: GoalName) -> None:
        self.targets, self.goal = torch.tensor(targets), goal
        self.indptr = train.indptr.tolist()
        self.users, self.items = torch.tensor(train.users()), torch.tensor(train.items)
        lengths = torch.tensor(train.lengths())
        self.weights = 1 / (lengths[self.users] * max(1, int((lengths > 0).sum())))

    def of_users(self, real: Tensor, items: Tensor, first: int, n_users: int) -> Tensor:
        """Returns the share of the loss that a block of users contributes, a scalar.

        Args:
            real: the vectors of the users of the block, [users, d].
            items: the vectors of the items, [items, d].
            first: the first user of the block.
            n_users: the total number of real users.
        """
        logs = (real @ items.mT).log_softmax(1)
        loss: Tensor
        if self.goal == "untargeted":
            own = slice(self.indptr[first], self.indptr[first + len(real)])
            loss = (logs[self.users[own] - first, self.items[own]] * self.weights[own].to(logs.dtype)).sum()
            return loss
        loss = logs[:, self.targets].mean() * (len(real) / n_users)
        return loss if self.goal == "demote" else -loss

    def slope(self, vectors: Vectors, sharpness: float = 0.0) -> Slope:
        """Returns the loss and its gradients.

        With sharpness ρ > 0, the loss and the gradients are those at worse vectors. Let θ be the vectors of real users
        and items, taken as one vector. The worse vectors are θ, moved by ρ ‖θ‖ along the gradient of the loss.

        Args:
            vectors: the vectors of a fitted surrogate.
            sharpness: the length ρ of the move, as a share of the norm of θ.
        """
        slope = self._slope(vectors.real, vectors.items)
        norm = _norm(slope.real, slope.items)
        if not sharpness or not norm:
            return slope
        step = sharpness * _norm(vectors.real, vectors.items) / norm
        return self._slope(vectors.real + step * slope.real, vectors.items + step * slope.items)

    def _slope(self, real: Tensor, items: Tensor) -> Slope:
        """Returns the loss and its gradients, computed for blocks of users."""
        items = items.detach().requires_grad_()
        value, gradients, total, first = 0.0, [], torch.zeros_like(items), 0
        for part in torch.split(real.detach(), max(1, BLOCK_ENTRIES // len(items))):
            with torch.enable_grad():
                users = part.clone().requires_grad_()
                loss = self.of_users(users, items, first, len(real))
                of_users, of_items = torch.autograd.grad(loss, (users, items))
            value += float(loss.detach())
            gradients.append(of_users)
            total += of_items
            first += len(part)
        return Slope(value, torch.cat(gradients), total)


def _norm(*parts: Tensor) -> float:
    """Returns the L2 norm of several tensors together."""
    return float(torch.stack([part.detach().square().sum() for part in parts]).sum().sqrt())
