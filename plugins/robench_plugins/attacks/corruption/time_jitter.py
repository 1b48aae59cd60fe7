"""Time jitter: the order of interactions is disturbed."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from robench.api import BaseConfig, Corruption, Interactions, Rng
from robench.api.threat import round_up


class TimeJitter(Corruption):
    """Moves random interactions within the row of their user.

    Each of these interactions is moved by a random distance of 1 to ``window`` places. The other interactions keep
    their order. The row of times is not changed. A model that reads a history as a set is not affected.
    """

    class Config(BaseConfig):
        """Settings of the time jitter."""

        window: int = Field(default=5, ge=1, description="Largest distance of a move, in places")

    config: Config

    def corrupt(self, train: Interactions, *, share: float, rng: Rng) -> Interactions:
        """Moves at most ⌈share · n⌉ of the n interactions and returns all n."""
        generator, n = rng.numpy(), len(train)
        moved = generator.choice(n, min(round_up(share, n), n), replace=False)
        place = np.arange(n, dtype=np.float64)
        distance = generator.integers(1, self.config.window, len(moved), endpoint=True) + 0.5
        place[moved] += np.where(generator.random(len(moved)) < 0.5, distance, -distance)
        order = np.lexsort((place, train.users()))
        return Interactions(train.indptr, train.items[order], train.times, train.n_items)
