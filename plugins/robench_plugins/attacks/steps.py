"""What iterated attacks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from robench.api import Ball, Delta, Oracle, Rng, wide

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


class Highest:
    """Per row the iterate of the highest loss. A loss mostly rises, so a row is copied only where it turns.

    Args:
        start: the first iterate, [B, ...] each; like every further one nobody may write in it from here on.
        loss: there, [B].
    """

    def __init__(self, start: Delta, loss: Tensor) -> None:
        """A walk from here."""
        self._last, self._last_loss = start, loss
        self._kept = {name: part.clone() for name, part in start.items()}
        self._kept_loss = loss.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)

    def then(self, delta: Delta, loss: Tensor) -> None:
        """The next iterate and its loss."""
        self._keep(~(loss > self._last_loss))  # also where it is no number
        self._last, self._last_loss = delta, loss

    def found(self) -> dict[str, Tensor]:
        """Each row's first of the highest loss."""
        self._keep(torch.ones_like(self._last_loss, dtype=torch.bool))
        return self._kept

    def _keep(self, turned: Tensor) -> None:
        """The last iterate in the rows that ``turned`` (bool [B]), where its loss was above any that is kept."""
        rows = (turned & (self._last_loss > self._kept_loss)).nonzero(as_tuple=True)[0]
        if len(rows):
            self._kept_loss = self._kept_loss.index_copy(0, rows, self._last_loss.index_select(0, rows))
            for name, part in self._kept.items():
                part.index_copy_(0, rows, self._last[name].index_select(0, rows))
