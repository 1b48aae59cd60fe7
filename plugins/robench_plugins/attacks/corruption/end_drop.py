"""End drop: the last interactions of users are lost."""

from __future__ import annotations

from pydantic import Field

from robench.api import BaseConfig, Corruption, Interactions, Rng
from robench.api.threat import round_up
from robench_plugins.attacks.corruption.rows import by_user, drop_in_order, places_from_end


class EndDrop(Corruption):
    """Removes the last interactions of random users.

    Users lose their last ``n`` interactions, one user after another in random order, until the budget is spent. Every
    user keeps at least one interaction.
    """

    class Config(BaseConfig):
        """Settings of the end drop."""

        n: int = Field(default=5, ge=1, description="Interactions that a user loses at most")

    config: Config

    def corrupt(self, train: Interactions, *, share: float, rng: Rng) -> Interactions:
        """Removes at most ⌈share · N⌉ of the N interactions and returns the others."""
        from_end = places_from_end(train)
        turns = rng.numpy().permutation(train.n_users)
        order = by_user(train, turns, from_end, from_end < self.config.n)
        return drop_in_order(train, order, round_up(share, len(train)))
