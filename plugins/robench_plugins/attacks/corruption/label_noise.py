"""Label noise: interactions that say nothing about the user's taste."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from robench.api import BaseConfig, Corruption, IntArray, Interactions, Rng
from robench.api.threat import round_up


class LabelNoise(Corruption):
    """Adds random interactions, or replaces genuine ones with random ones.

    On average, a user's noisy interactions are in proportion to the user's genuine ones. Their items are drawn
    uniformly from the items that the user does not have. With ``how: add``, each noisy interaction is inserted at a
    random place of the row. With ``how: replace``, it replaces a random genuine interaction.
    """

    class Config(BaseConfig):
        """Settings of the label noise."""

        how: Literal["add", "replace"] = Field(
            default="add", description="Whether noise is added to genuine interactions or replaces them"
        )

    config: Config

    def corrupt(self, train: Interactions, *, share: float, rng: Rng) -> Interactions:
        """Returns the data with at most ⌈share · n⌉ noisy interactions.

        Here n is the number of genuine interactions. There are at most n noisy interactions, and fewer than ⌈share · n⌉
        if a user has too few other items.
        """
        generator = rng.numpy()
        count = min(round_up(share, len(train)), len(train))
        noisy = np.sort(generator.choice(len(train), count, replace=False))
        items = _other_items(train, np.bincount(train.users()[noisy], minlength=train.n_users), generator)
        noisy, items = noisy[items >= 0], items[items >= 0]
        if self.config.how == "replace":
            changed = train.items.copy()
            changed[noisy] = items
            return Interactions(train.indptr, changed, train.times, train.n_items)
        added = np.bincount(train.users()[noisy], minlength=train.n_users)
        indptr = train.indptr + np.concatenate([[0], np.cumsum(added)])
        # Noise takes the time of the genuine interaction before which or after which it stands.
        after = generator.random(len(noisy)) < 0.5
        order = np.argsort(
            np.concatenate([np.arange(len(train)) * 2, noisy * 2 + np.where(after, 1, -1)]), kind="stable"
        )
        return Interactions(
            indptr.astype(np.int64),
            np.concatenate([train.items, items])[order],
            np.concatenate([train.times, train.times[noisy]])[order],
            train.n_items,
        )


def _other_items(train: Interactions, counts: IntArray, generator: np.random.Generator) -> IntArray:
    """Draws for each user distinct items that the user does not have.

    The result has the items of the first user first: int64 [sum of counts]. If a user has too few other items, the
    missing ones are −1.

    Args:
        train: the interactions.
        counts: the number of items for each user, int64 [n_users].
        generator: the source of random numbers.
    """
    parts = [np.empty(0, dtype=np.int64)]
    for user in np.flatnonzero(counts).tolist():
        others = np.setdiff1d(np.arange(train.n_items), train.row(user))
        chosen = generator.choice(others, min(counts[user], len(others)), replace=False)
        parts.append(np.pad(chosen, (0, counts[user] - len(chosen)), constant_values=-1))
    return np.concatenate(parts)
