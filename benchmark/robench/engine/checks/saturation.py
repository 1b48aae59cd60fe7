"""Checks that the losses of attacks depend on more than one item."""

from __future__ import annotations

from torch import Tensor

from robench.engine.checks.probe import Probe

SATURATED = 16.0  # e^-16 is about the rounding error of float32


def saturations(probe: Probe) -> dict[str, Tensor]:
    """Marks users for whom one item takes all the probability of the softmax.

    In float32, the cross-entropy of such a user is 0 or linear, and the gradient with respect to all other scores is 0.

    Returns:
        1 or 0 for each user (``saturated``, float64 [B]).
    """
    best = probe.masked.topk(2, dim=1).values
    return {"saturated": (best[:, 0] - best[:, 1] > SATURATED).double()}
