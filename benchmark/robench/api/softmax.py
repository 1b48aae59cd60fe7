"""Softmax cross-entropy against a table, in chunks: the [N, n_items] logits never exist as a whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK_ELEMENTS = 1 << 21  # logits per chunk: 8 MiB of float32, near the size of a core's cache


class _CrossEntropy(torch.autograd.Function):
    """Saves the log-normaliser of each row and forms the softmax again in the backward pass."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, table: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        rows = max(1, CHUNK_ELEMENTS // len(table))
        normaliser = torch.cat(
            [torch.addmm(bias, part, table.T).logsumexp(1) for part in torch.split(states, rows)]
            or [states.new_empty(0)]
        )
        own = (states * table[targets]).sum(1) + bias[targets]
        ctx.save_for_backward(states, table, bias, targets, normaliser)
        ctx.rows = rows
        return normaliser - own

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> tuple[Tensor | None, ...]:
        states, table, bias, targets, normaliser = ctx.saved_tensors
        (weight,) = outputs
        grad_states = torch.empty_like(states) if ctx.needs_input_grad[0] else None
        grad_table = torch.zeros_like(table) if ctx.needs_input_grad[1] else None
        grad_bias = torch.zeros_like(bias) if ctx.needs_input_grad[2] else None
        for start in range(0, len(states), ctx.rows):
            part = slice(start, start + ctx.rows)
            logits = torch.addmm(bias, states[part], table.T)
            share = logits.sub_(normaliser[part, None]).exp_()
            share[torch.arange(len(share), device=share.device), targets[part]] -= 1
            share *= weight[part, None]
            if grad_states is not None:
                torch.mm(share, table, out=grad_states[part])
            if grad_table is not None:
                grad_table.addmm_(share.T, states[part])
            if grad_bias is not None:
                grad_bias += share.sum(0)
        return grad_states, grad_table, grad_bias, None


def cross_entropy(states: Tensor, table: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """−log softmax(states · tableᵀ + bias)[target] per row.

    Args:
        states: float [N, d].
        table: float [n_items, d].
        bias: float [n_items].
        targets: int64 [N].

    Returns:
        float [N], non-negative; differentiable once in states, table and bias.
    """
    result: Tensor = _CrossEntropy.apply(states, table, bias, targets)  # type: ignore[no-untyped-call]  # torch has no type for apply
    return result
