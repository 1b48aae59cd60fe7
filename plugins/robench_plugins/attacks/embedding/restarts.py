"""Starting points and rivals for the restarts of iterated attacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robench.api import Ball, Oracle, Rng
from robench.api.attacks.ball import wide

if TYPE_CHECKING:
    from torch import Tensor


def random_start(oracle: Oracle, ball: Ball, rng: Rng) -> dict[str, Tensor]:
    """Returns a random point per row.

    The point is uniform on the sphere for L2, and in the cube for L∞.

    Args:
        oracle: the oracle of the users whose inputs are perturbed.
        ball: the perturbations within budget, of radius r per row.
        rng: the source of the draw.

    Returns:
        δ as a dict of tensors [B, ...], one per input.
    """
    return ball.ascent(oracle.normal(rng)) if ball.norm == "l2" else uniform_start(oracle, ball, rng)


def uniform_start(oracle: Oracle, ball: Ball, rng: Rng) -> dict[str, Tensor]:
    """Returns a point with entries uniform in [−r, r] at the valid positions.

    Here r is the radius of the ball. The result has shape [B, ...] per input.
    """
    draw = oracle.uniform(rng)
    return {name: part * wide(ball.radius, part) for name, part in draw.items()}


def restart_rivals(oracle: Oracle, config: Any) -> list[Tensor]:
    """Returns one rival per row for each restart after the first, int64 [B] each.

    In MultiTargeted attacks (Gowal et al. 2019), each of these restarts raises one rival above the held-out item. The
    list is empty unless the attack is untargeted, k = 1 and the surface is ``embedding``. The list is shorter if there
    are too few rivals.
    """
    targeted = config.k == 1 and config.restarts > 1 and config.goal == "untargeted"
    return list(oracle.rivals(config.restarts - 1).T) if targeted else []
