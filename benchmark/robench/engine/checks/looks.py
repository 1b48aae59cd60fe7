"""Checks that repeated scorings of the same inputs agree."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.engine.checks.probe import Probe


def look_differences(probe: Probe) -> dict[str, Tensor]:
    """Compares repeated scorings of the same inputs.

    The genuine inputs and some random perturbations of them are scored. Each scoring is repeated with different random
    draws, and then with gradients enabled.

    Returns:
        Three differences per user, float64 [B] each. ``noise_genuine`` is the largest change of a genuine score with
        different draws. ``noise_ball`` is the largest such change for perturbed inputs. ``grad_mode`` is the largest
        change of a score with gradients enabled. All are in standard deviations of the user's genuine scores.
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
