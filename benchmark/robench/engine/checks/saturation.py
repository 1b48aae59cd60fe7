"""Checks that the losses of attacks depend on more than one item."""

from __future__ import annotations

from torch import Tensor

from robench.engine.checks.probe import Probe

SATURATED = 16.0  # e^-16 is about the rounding error of float32


def saturations(probe: Probe) -> dict[str, Tensor]:
    """Marks users with one score that is more than 16 above all other scores.

    Masked items are ignored. For such a user, the softmax gives all other items together almost no probability.
    Therefore, the gradient of the cross-entropy with respect to their scores almost vanishes.

    Returns:
        1 for each marked user, and 0 for any other user (``saturated``), float64 [B].
    """
    best = probe.masked.topk(2, dim=1).values
    return {"saturated": (best[:, 0] - best[:, 1] > SATURATED).double()}
