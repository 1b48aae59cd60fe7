"""What iterated attacks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robench.api import Ball, Oracle, Rng, wide

if TYPE_CHECKING:
    from torch import Tensor


def random_start(oracle: Oracle, ball: Ball, rng: Rng) -> dict[str, Tensor]:
    """A random point: uniform in the cube (L∞), a uniform direction at full length (L2)."""
    return ball.ascent(oracle.normal(rng)) if ball.norm == "l2" else scaled_cube(oracle, ball, rng)


def scaled_cube(oracle: Oracle, ball: Ball, rng: Rng) -> dict[str, Tensor]:
    """Entries uniform in [−r, r] at the valid places."""
    draw = oracle.uniform(rng)
    return {name: part * wide(ball.radius, part) for name, part in draw.items()}


def aims(oracle: Oracle, config: Any) -> list[Tensor]:
    """A rival per further restart where the top 1 is attacked: item ids int64 [B] each; none for a longer top k."""
    aimed = config.k == 1 and config.restarts > 1 and config.goal == "untargeted"
    return list(oracle.rivals(config.restarts - 1).T) if aimed else []
