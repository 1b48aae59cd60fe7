"""Checks that two scorings of the same point agree."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.engine.checks.probe import Probe


def look_differences(probe: Probe) -> dict[str, Tensor]:
    """Compares scorings of the same points.

    Each point is scored again with other random draws, and again with gradients.

    Returns:
        Three differences per user, in standard deviations, float64 [B] each. ``noise_genuine`` is the difference that
        other draws make at the genuine point. ``noise_ball`` is the largest such difference at the other points.
        ``grad_mode`` is the largest difference that gradients make at any point.
    """
    noise, modes = [], []
    for delta, first in zip(probe.all_points, probe.point_scores, strict=True):
        noise.append(probe.distance(first, probe.scores(delta, look=1)))
        leaves = {name: part.detach().requires_grad_() for name, part in delta.items()}
        with torch.enable_grad():
            modes.append(probe.distance(first, probe.differentiable(leaves).detach().double()))
    return {
        "noise_genuine": noise[0],
        "noise_ball": torch.stack(noise[1:]).amax(0),
        "grad_mode": torch.stack(modes).amax(0),
    }
