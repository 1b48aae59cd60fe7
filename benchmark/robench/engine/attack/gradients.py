"""Computes gradients of the host's losses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor

from robench.api.attacks.ball import Delta


@contextmanager
def gradients(device: torch.device, *, enabled: bool = True) -> Iterator[None]:
    """Opens a context in which a model in evaluation mode has gradients with respect to its inputs.

    Args:
        device: the device of the model.
        enabled: whether there are gradients at all.
    """
    # cuDNN's recurrent kernels give no gradient in eval mode. Switching them off takes a while, even without a GPU.
    switch = torch.backends.cudnn.flags(enabled=False) if enabled and device.type != "cpu" else nullcontext()
    with torch.set_grad_enabled(enabled), switch:
        yield


def gradient_of(value: Tensor, leaves: Delta) -> dict[str, Tensor]:
    """Returns the gradient of the sum of ``value`` with respect to every leaf.

    It is zero for a leaf on which ``value`` does not depend.
    """
    parts = list(leaves.values())
    slopes: Sequence[Tensor | None] = [None] * len(parts)
    if value.requires_grad:
        slopes = torch.autograd.grad(value, parts, torch.ones_like(value), allow_unused=True)
    return {name: torch.zeros_like(leaves[name]) if g is None else g for name, g in zip(leaves, slopes, strict=True)}


def finite(gradient: Delta) -> dict[str, Tensor]:
    """Replaces entries of a gradient that are not finite by zeros."""
    # A sum is finite only if every term is, and needs no copy.
    return {
        name: part if math.isfinite(float(part.sum())) else torch.nan_to_num(part, nan=0.0, posinf=0.0, neginf=0.0)
        for name, part in gradient.items()
    }
