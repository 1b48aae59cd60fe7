"""Categorical distributions, and the divergence between them.

The loss of a model compares such distributions with the targets. Defences compare the distributions for clean and for
perturbed inputs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from robench.api.models.softmax import chunk_rows


class Logits(NamedTuple):
    """The logits of N distributions over C classes, which are usually items.

    The logits are states · tableᵀ + bias, float [N, C], and are not stored.

    Args:
        states: one vector per distribution, float [N, d].
        table: one vector per class, float [C, d].
        bias: the bias of each class, float [C].
    """

    states: Tensor
    table: Tensor
    bias: Tensor

    @classmethod
    def of_two(cls, values: Tensor) -> Logits:
        """Returns one distribution over two classes for each of N values.

        The first class has the probability σ(value), and the second class has the rest. σ is the logistic function.
        """
        # With the logits value / 2 and −value / 2, one of the two slopes stays exact if a probability rounds to 1.
        return cls(values.unsqueeze(1), values.new_tensor([[0.5], [-0.5]]), values.new_zeros(2))

    def detach(self) -> Logits:
        """Returns the same logits without a gradient."""
        return Logits(self.states.detach(), self.table.detach(), self.bias.detach())

    def by_states(self) -> Logits:
        """Returns the same logits with a gradient with respect to the states only."""
        return Logits(self.states, self.table.detach(), self.bias.detach())


class _Divergence(torch.autograd.Function):
    """A divergence that already computes its gradients in the forward pass.

    ``softmax.cross_entropy`` does the same. These gradients are right only if all rows have the same weight in the
    backward pass, as in a mean. Otherwise, they are computed again.
    """

    @staticmethod
    def forward(ctx: Any, *parts: Tensor) -> Tensor:
        value, gradients = _compute(Logits(*parts[:3]), Logits(*parts[3:]), ctx.needs_input_grad, None)
        ctx.save_for_backward(*parts, *gradients)
        return value

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> tuple[Tensor | None, ...]:
        (weight,) = outputs
        parts, gradients = ctx.saved_tensors[:6], ctx.saved_tensors[6:]
        if len(weight) and bool((weight == weight[0]).all()):
            return tuple(None if part is None else part * weight[0] for part in gradients)
        return tuple(_compute(Logits(*parts[:3]), Logits(*parts[3:]), ctx.needs_input_grad, weight)[1])


def _compute(
    first: Logits, second: Logits, wanted: tuple[bool, ...], weight: Tensor | None
) -> tuple[Tensor, list[Tensor | None]]:
    """Returns KL(p ‖ q) of each row, and the gradients of the weighted sum over rows.

    With the logits a of p and b of q, the gradients are ∂KL/∂a = p (ln p − ln q − KL) and ∂KL/∂b = q − p.

    Args:
        first: the logits of the distributions p.
        second: the logits of the distributions q.
        wanted: whether each gradient is needed: three flags for the parts of ``first``, then three for ``second``.
        weight: the weight of each row in the sum, float [N], or None if every weight is 1.

    Returns:
        The divergences, float [N], and a gradient or None for each of the six parts.
    """
    value = first.states.new_empty(len(first.states))
    gradients = [
        torch.zeros_like(part) if asked else None for part, asked in zip((*first, *second), wanted, strict=True)
    ]
    size = chunk_rows(len(first.table))
    for start in range(0, len(value), size):
        part = slice(start, start + size)
        (log_p, p), (log_q, q) = _probabilities(first, part), _probabilities(second, part)
        ratio = log_p.sub_(log_q)
        divergence = torch.linalg.vecdot(p, ratio)
        value[part] = divergence
        if any(wanted[3:]):
            _add(gradients[3:], second, part, q.sub_(p), weight)
        if any(wanted[:3]):
            _add(gradients[:3], first, part, ratio.sub_(divergence.unsqueeze(1)).mul_(p), weight)
    return value, gradients


def _probabilities(logits: Logits, part: slice) -> tuple[Tensor, Tensor]:
    """Returns ln p and p for the distributions of one chunk, float [n, C] each."""
    shifted = torch.addmm(logits.bias, logits.states[part], logits.table.T)
    shifted.sub_(shifted.amax(1, keepdim=True))
    shares = shifted.exp()
    total = shares.sum(1, keepdim=True)
    return shifted.sub_(total.log()), shares.div_(total)


def _add(gradients: list[Tensor | None], logits: Logits, part: slice, slope: Tensor, weight: Tensor | None) -> None:
    """Adds the gradient of one chunk in place.

    Args:
        gradients: the gradients with respect to states, table and bias, or None for each that is not needed.
        logits: the logits.
        part: the rows of the chunk.
        slope: the gradient of each row's value with respect to its logits, float [n, C]. The function overwrites this
            tensor.
        weight: the weight of each row, float [N] for all chunks together, or None if every weight is 1.
    """
    by_states, by_table, by_bias = gradients
    if weight is not None:
        slope.mul_(weight[part, None])
    if by_states is not None:
        torch.mm(slope, logits.table, out=by_states[part])
    if by_table is not None:
        by_table.addmm_(slope.T, logits.states[part])
    if by_bias is not None:
        by_bias += slope.sum(0)


def kl_divergence(first: Logits, second: Logits) -> Tensor:
    """Returns KL(p ‖ q) = Σ p (ln p − ln q) for each of N pairs, in nats: float [N].

    Apart from the arguments and their gradients, the function needs memory for only one chunk of logits. The result can
    be differentiated once with respect to both arguments.

    Args:
        first: the logits of the distributions p.
        second: the logits of the distributions q, over the same classes.
    """
    result: Tensor = _Divergence.apply(*first, *second)  # type: ignore[no-untyped-call]  # torch has no type for apply
    return result
