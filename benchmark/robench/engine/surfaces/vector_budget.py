"""Enforces ε on perturbations of vectors, by projection into a ball.

The shortest δ of a minimum-norm attack is not projected. Such a δ counts only if it is within the ball.

The other budgets are enforced by ``surfaces/history/budget.py`` (edits of histories), ``surfaces/text/budget.py``
(edits of titles) and ``fit/poisoning_budget.py`` (fake users and changed interactions).
"""

from __future__ import annotations

import torch
from torch import Tensor

from robench.api.attacks.ball import Ball, sizes, wide
from robench.engine.attack.arena import Candidate
from robench.engine.attack.costs import Costs

TINY = 1e-30
ROUNDING = 1e-5  # a projected float32 norm may exceed its radius by this share


def project(delta: Candidate, ball: Ball, costs: Costs) -> Candidate:
    """Projects a candidate onto the ball, and records the overshoot of δ."""
    share = torch.where(ball.radius > 0, sizes(delta, ball.norm) / ball.radius.clamp_min(TINY), 0.0)
    costs.note_overshoot(float(share.max()))
    return ball.project(delta)


def keep_fitting(shortest: Candidate, lengths: Tensor, radius: Tensor) -> Candidate:
    """Returns the shortest δ of each user, or 0 if that δ exceeds the budget.

    Args:
        shortest: the shortest δ that breaks each user.
        lengths: the norm of each user's δ, float [B]. The norm is inf if the user was not broken.
        radius: the radius of each user, float [B].
    """
    fits = lengths <= radius * (1 + ROUNDING)
    return {name: part * wide(fits, part) for name, part in shortest.items()}
