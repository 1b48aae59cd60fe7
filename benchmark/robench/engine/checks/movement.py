"""Checks that random points of the ball move the scores."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.engine.checks.probe import MIDDLE, Probe


def movements(probe: Probe) -> dict[str, Tensor]:
    """Measures how far a random point of the ball moves each user's scores.

    Returns:
        One number per user (``movement``, float64 [B]). At each of the radii, the number is the root mean square, over
        the items, of the changes of the scores. It is divided by the standard deviation of the user's genuine scores,
        and scaled in proportion to ε = 0.05. The smallest number over the radii counts.
    """
    sizes = [
        (scores - probe.genuine).square().mean(1).sqrt() / probe.spread * (MIDDLE / epsilon)
        for epsilon, scores in zip(probe.points, probe.point_scores[1:], strict=True)
    ]
    return {"movement": torch.stack(sizes).amin(0)}
