"""What iterated attacks share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from robench.api import Ball, Delta, Oracle, Rng
from robench.api.attacks.ball import wide

if TYPE_CHECKING:
    from torch import Tensor

HELD = 64 << 20  # bytes of iterates that are held before rows are copied


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
    """Per row the iterate of the highest loss, the first of equals.

    Rows are copied when what the walk holds has reached ``HELD`` bytes, not at every step: beside a small model each
    further operation of a step is felt.

    Args:
        start: the first iterate, [B, ...] each; like every further one nobody may write in it from here on.
        loss: there, [B].
    """

    def __init__(self, start: Delta, loss: Tensor) -> None:
        """A walk from here."""
        self._kept = {name: part.clone() for name, part in start.items()}
        self._kept_loss = torch.full_like(loss, -torch.inf)
        self._walk, self._losses = [start], [loss]
        self._most = max(1, HELD // max(1, sum(part.nbytes for part in start.values())))

    def then(self, delta: Delta, loss: Tensor) -> None:
        """The next iterate and its loss."""
        if len(self._walk) >= self._most:
            self._settle()
        self._walk.append(delta)
        self._losses.append(loss)

    def found(self) -> dict[str, Tensor]:
        """Each row's first of the highest loss; where it never was a number, the start."""
        self._settle()
        return self._kept

    def _settle(self) -> None:
        """Copy what is better than before, and let the iterates go."""
        losses = torch.stack([self._kept_loss, *self._losses]).nan_to_num(-torch.inf, torch.inf, -torch.inf)
        # numpy's argmax is the first of equals, torch's any of them; 0 is what is kept already.
        best = torch.from_numpy(losses.cpu().numpy().argmax(0)).to(losses.device)
        for place, delta in enumerate(self._walk, start=1):
            rows = (best == place).nonzero(as_tuple=True)[0]
            for name, part in self._kept.items() if len(rows) else ():
                part.index_copy_(0, rows, delta[name].index_select(0, rows))
        self._kept_loss = losses.amax(0)
        self._walk, self._losses = [], []
