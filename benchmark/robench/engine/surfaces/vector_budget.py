"""Enforces ε on perturbations of vectors, by projection into a ball.

The other budgets are enforced by ``surfaces/history/budget.py`` (edits of histories), ``surfaces/text/budget.py``
(edits of titles) and ``fit/poisoning.py`` (fake users and changed interactions).
"""

from __future__ import annotations

import torch

from robench.api.attacks.ball import Ball, sizes
from robench.engine.attack.arena import Candidate
from robench.engine.attack.costs import Costs

TINY = 1e-30
ROUNDING = 1e-5  # a projected float32 norm may exceed its radius by this share


def project(delta: Candidate, ball: Ball, costs: Costs) -> Candidate:
    """Returns the nearest candidate in the ball, and records how far δ overshot."""
    share = torch.where(ball.radius > 0, sizes(delta, ball.norm) / ball.radius.clamp_min(TINY), 0.0)
    costs.note_overshoot(float(share.max()))
    return ball.project(delta)
