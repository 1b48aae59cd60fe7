"""Checks that random perturbations change the scores."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.engine.checks.probe import MIDDLE, Probe


def movements(probe: Probe) -> dict[str, Tensor]:
    """Measures how much random perturbations change each user's scores.

    The inputs are perturbed at three values of ε. For each ε, the function computes the root mean square change of the
    user's scores, in standard deviations of the genuine scores. The change is then multiplied by 0.05 / ε, so that the
    three results can be compared.

    Returns:
        The smallest of the three results for each user (``movement``), float64 [B].
    """
    sizes = [
        (scores - probe.genuine).square().mean(1).sqrt() / probe.spread * (MIDDLE / epsilon)
        for epsilon, scores in zip(probe.points, probe.point_scores[1:], strict=True)
    ]
    return {"movement": torch.stack(sizes).amin(0)}
