"""Checks that random points of the ball move the scores."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.engine.checks.probe import MIDDLE, Probe


def movements(probe: Probe) -> dict[str, Tensor]:
    """Measures how far a random point of the ball moves each user's scores.

    Returns:
        The root mean square of the changes over the items, in standard deviations, scaled to ε = 0.05. The smallest
        value over the radii counts (``movement``, float64 [B]).
    """
    sizes = [
        (scores - probe.genuine).square().mean(1).sqrt() / probe.spread * (MIDDLE / epsilon)
        for epsilon, scores in zip(probe.points, probe.point_scores[1:], strict=True)
    ]
    return {"movement": torch.stack(sizes).amin(0)}
