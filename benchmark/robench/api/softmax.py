"""Softmax cross-entropy against a table, in chunks: the [N, n_items] logits never exist as a whole."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK_ELEMENTS = 1 << 20  # logits per chunk: 4 MiB of float32, near the size of a core's cache
KEPT_ELEMENTS = 1 << 24  # softmax kept for the backward pass up to 64 MiB; beyond it is formed again


class _CrossEntropy(torch.autograd.Function):
    """Keeps the softmax where it is small, else the log-normaliser of each row, and forms it again going back."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, table: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        rows = max(1, CHUNK_ELEMENTS // len(table))
        keep = len(states) * len(table) <= KEPT_ELEMENTS and any(ctx.needs_input_grad)
        kept = states.new_empty(len(states), len(table)) if keep else None
        buffer = None if keep else states.new_empty(min(rows, len(states)), len(table))
        normaliser = states.new_empty(len(states))
        for start in range(0, len(states), rows):
            part = slice(start, min(start + rows, len(states)))
            out = kept[part] if kept is not None else buffer[: part.stop - start]  # type: ignore[index]  # one of them
            torch.addmm(bias, states[part], table.T, out=out)
            largest = out.amax(1, keepdim=True)
            total = out.sub_(largest).exp_().sum(1, keepdim=True)
            if keep:
                out.div_(total)
            normaliser[part] = (largest + total.log()).squeeze(1)
        ctx.save_for_backward(states, table, bias, targets, normaliser, kept)
        ctx.rows = rows
        return normaliser - ((states * table[targets]).sum(1) + bias[targets])

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> tuple[Tensor | None, ...]:
        states, table, bias, targets, normaliser, kept = ctx.saved_tensors
        (weight,) = outputs
        grad_states = torch.empty_like(states) if ctx.needs_input_grad[0] else None
        grad_table = torch.zeros_like(table) if ctx.needs_input_grad[1] else None
        grad_bias = torch.zeros_like(bias) if ctx.needs_input_grad[2] else None
        for start in range(0, len(states), ctx.rows):
            part = slice(start, min(start + ctx.rows, len(states)))
            if kept is None:
                share = torch.addmm(bias, states[part], table.T).sub_(normaliser[part, None]).exp_()
                share *= weight[part, None]
            else:
                share = kept[part] * weight[part, None]
            share[torch.arange(len(share), device=share.device), targets[part]] -= weight[part]
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
        float [N], non-negative but for rounding; differentiable once in states, table and bias.
    """
    result: Tensor = _CrossEntropy.apply(states, table, bias, targets)  # type: ignore[no-untyped-call]  # torch has no type for apply
    return result
