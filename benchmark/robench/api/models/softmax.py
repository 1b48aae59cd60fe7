"""Softmax cross-entropy against a table, without storing [N, n_items] logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

CHUNK_ELEMENTS = 1 << 19  # logits per chunk: 2 MiB of float32, which fit in a core's cache (measured: 2^18 to 2^20)
# A matrix product with fewer rows is slow. For a large catalogue, a chunk therefore takes 320 bytes per item, about as
# much as the item's vector.
LEAST_ROWS = 80
Chunk = tuple[slice, Tensor, Tensor, Tensor]


def chunk_rows(n_items: int) -> int:
    """Returns the number of rows per chunk for a catalogue of ``n_items`` items.

    A chunk has at most ``CHUNK_ELEMENTS`` logits, but at least ``LEAST_ROWS`` rows.
    """
    return max(LEAST_ROWS, CHUNK_ELEMENTS // n_items)


def _chunks(states: Tensor, table: Tensor, bias: Tensor, targets: Tensor) -> Iterator[Chunk]:
    """Yields the slice, the row numbers, the softmax and the losses of each chunk.

    All chunks share one buffer for the softmax.
    """
    rows = chunk_rows(len(table))
    buffer = states.new_empty(min(rows, len(states)), len(table))
    numbers = torch.arange(len(buffer), device=states.device)
    for start in range(0, len(states), rows):
        part = slice(start, min(start + rows, len(states)))
        out, row = buffer[: part.stop - start], numbers[: part.stop - start]
        torch.addmm(bias, states[part], table.T, out=out)
        own, largest = out[row, targets[part]], out.amax(1, keepdim=True)
        total = out.sub_(largest).exp_().sum(1, keepdim=True)
        yield part, row, out.div_(total), (largest + total.log()).squeeze(1) - own


class _CrossEntropy(torch.autograd.Function):
    """A cross-entropy that already computes its gradients in the forward pass.

    In the forward pass, the softmax of a chunk is still in the cache. Three matrix products suffice, and no logits are
    stored. The gradients with respect to table and bias are right only if all rows have the same weight in the backward
    pass, as in a mean. Otherwise, these two gradients are computed again.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, table: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
        wants_states, wants_table, wants_bias, _ = ctx.needs_input_grad
        loss = states.new_empty(len(states))
        by_states = torch.empty_like(states) if wants_states else None
        by_table = torch.zeros_like(table) if wants_table else None
        by_bias = torch.zeros_like(bias) if wants_bias else None
        for part, row, share, value in _chunks(states, table, bias, targets):
            loss[part] = value
            share[row, targets[part]] -= 1
            if by_states is not None:
                torch.mm(share, table, out=by_states[part])
            if by_table is not None:
                by_table.addmm_(share.T, states[part])
            if by_bias is not None:
                by_bias += share.sum(0)
        ctx.save_for_backward(states, table, bias, targets, by_states, by_table, by_bias)
        return loss

    @staticmethod
    def backward(ctx: Any, *outputs: Any) -> tuple[Tensor | None, ...]:
        states, table, bias, targets, by_states, by_table, by_bias = ctx.saved_tensors
        (weight,) = outputs
        if by_states is not None:
            by_states = by_states * weight[:, None]
        if len(weight) and (by_table is not None or by_bias is not None):
            if bool((weight == weight[0]).all()):
                by_table = None if by_table is None else by_table * weight[0]
                by_bias = None if by_bias is None else by_bias * weight[0]
            else:
                by_table, by_bias = _weighted(states, table, bias, targets, weight)
        return by_states, by_table, by_bias, None


def _weighted(states: Tensor, table: Tensor, bias: Tensor, targets: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the gradients of a weighted loss with respect to table and bias.

    Each row's loss is multiplied by the row's entry in ``weight``, float [N].
    """
    by_table, by_bias = torch.zeros_like(table), torch.zeros_like(bias)
    for part, row, share, _ in _chunks(states, table, bias, targets):
        share[row, targets[part]] -= 1
        share.mul_(weight[part, None])
        by_table.addmm_(share.T, states[part])
        by_bias += share.sum(0)
    return by_table, by_bias


def cross_entropy(states: Tensor, table: Tensor, bias: Tensor, targets: Tensor) -> Tensor:
    """Returns −log softmax(states · tableᵀ + bias)[target] per row.

    Apart from the arguments and their gradients, the function needs memory for only one chunk of logits. Value and
    gradients take 37 ms, compared with 56 ms in plain torch (2 MiB cache, N = 4,900, n_items = 1,303, d = 64).

    Args:
        states: the states to score, float [N, d].
        table: the vectors of the items, float [n_items, d].
        bias: the bias of each item, float [n_items].
        targets: the item that each state should predict, int64 [N].

    Returns:
        The loss of each row, float [N], which is non-negative up to rounding. The loss can be differentiated once with
        respect to states, table and bias.
    """
    result: Tensor = _CrossEntropy.apply(states, table, bias, targets)  # type: ignore[no-untyped-call]  # torch has no type for apply
    return result
