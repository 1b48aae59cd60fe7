"""Computes gradients and removes entries that are not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from robench.api.attacks.ball import Delta


def gradient_of(value: Tensor, leaves: Delta) -> dict[str, Tensor]:
    """Returns the gradient of ``value.sum()`` with respect to ``leaves``, by name.

    The gradient is zero for a tensor that does not influence ``value``.
    """
    parts = list(leaves.values())
    slopes: Sequence[Tensor | None] = [None] * len(parts)
    if value.requires_grad:
        slopes = torch.autograd.grad(value, parts, torch.ones_like(value), allow_unused=True)
    return {name: torch.zeros_like(leaves[name]) if g is None else g for name, g in zip(leaves, slopes, strict=True)}


def finite(gradient: Delta) -> dict[str, Tensor]:
    """Returns a gradient with zeros in place of entries that are not finite."""
    # A sum is finite only if every term is finite, and computing a sum needs no copy.
    return {
        name: part if math.isfinite(float(part.sum())) else torch.nan_to_num(part, nan=0.0, posinf=0.0, neginf=0.0)
        for name, part in gradient.items()
    }
