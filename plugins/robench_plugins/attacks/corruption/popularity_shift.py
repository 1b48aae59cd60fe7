"""Popularity shift: interactions with popular items are lost."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from robench.api import BaseConfig, Corruption, Interactions, Rng
from robench.api.threat import round_up
from robench_plugins.attacks.corruption.rows import drop_in_order


class PopularityShift(Corruption):
    """Removes random interactions, with a preference for popular items.

    One interaction after another is drawn and removed. If an item has c interactions, each of them is drawn with a
    probability in proportion to c to the power of ``power``. So the popularities of items differ less in the training
    data than in the test data, or more if ``power`` is negative. The draws without replacement follow Efraimidis &
    Spirakis (IPL 2006). Every user keeps at least one interaction.
    """

    class Config(BaseConfig):
        """Settings of the popularity shift."""

        power: float = Field(
            default=1.0, ge=-4, le=4, description="Power of the item's count; negative values remove unpopular items"
        )

    config: Config

    def corrupt(self, train: Interactions, *, share: float, rng: Rng) -> Interactions:
        """Removes at most ⌈share · n⌉ of the n interactions and returns the others."""
        waiting = rng.numpy().standard_exponential(len(train))
        rates = train.counts()[train.items].astype(np.float64) ** self.config.power
        return drop_in_order(train, np.argsort(waiting / rates, kind="stable"), round_up(share, len(train)))
