"""Cold start: users keep only a few interactions."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from robench.api import BaseConfig, Corruption, Interactions, Rng
from robench.api.threat import round_up
from robench_plugins.attacks.corruption.rows import by_user, drop_in_order, places_from_end


class ColdStart(Corruption):
    """Cuts random users to their last few interactions.

    Users lose all but their last ``keep`` interactions, one user after another in random order, until the budget is
    spent. The last of these users may keep more.
    """

    class Config(BaseConfig):
        """Settings of the cold start."""

        keep: int = Field(default=3, ge=1, description="Interactions that a user keeps")

    config: Config

    def corrupt(self, train: Interactions, *, share: float, rng: Rng) -> Interactions:
        """Removes at most ⌈share · N⌉ of the N interactions and returns the others."""
        from_end, turns = places_from_end(train), rng.numpy().permutation(train.n_users)
        order = by_user(train, turns, np.arange(len(train)), from_end >= self.config.keep)
        return drop_in_order(train, order, round_up(share, len(train)))
