"""Enforces ε on perturbations of vectors, by projection onto a ball.

A perturbation of a minimum-norm attack is not projected. It is used only if it is within the ball.

Three other modules enforce ε: ``surfaces/history/budget.py`` on edits of histories, ``surfaces/text/budget.py`` on
edits of titles, and ``fit/poisoning_budget.py`` on fake users and changed interactions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robench.api.attacks.ball import Ball, sizes, wide
from robench.engine.attack.arena import Candidate
from robench.engine.attack.costs import Costs

TINY = 1e-30
ROUNDING = 1e-5  # the share by which a float32 norm may exceed the radius because of rounding


def project(delta: Candidate, ball: Ball, costs: Costs) -> Candidate:
    """Returns a proposal projected onto the ball and records the overshoot."""
    share = torch.where(ball.radius > 0, sizes(delta, ball.norm) / ball.radius.clamp_min(TINY), 0.0)
    costs.note_overshoot(float(share.max()))
    return ball.project(delta)


def keep_fitting(shortest: Candidate, lengths: Tensor, radius: Tensor) -> Candidate:
    """Returns each user's perturbation, or 0 if it exceeds the budget.

    Args:
        shortest: the shortest perturbation that breaks each user.
        lengths: the norm of each user's perturbation, float [B]. The norm is inf if the user was not broken.
        radius: the radius of each user, float [B].
    """
    fits = lengths <= radius * (1 + ROUNDING)
    return {name: part * wide(fits, part) for name, part in shortest.items()}
