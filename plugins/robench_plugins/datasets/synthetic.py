"""Seeded synthetic data: latent taste, popularity skew, a little sequence."""

from __future__ import annotations

import hashlib
import json
from typing import ClassVar

import numpy as np
from pydantic import Field

from robench.api import Dataset, DatasetConfig, Item, Ratings, Rng

BLOCK = 1 << 16  # users per block: bounds the memory of the draw


class Synthetic(Dataset):
    """Users belong to tastes, items to tastes; an event is drawn from the user's taste or, else, from all items.

    Within a pool items follow Zipf's law with exponent ``skew``; the number of events per user is geometric around
    its mean. Repeated pairs are left in: the host keeps the first. Nothing of users x items is ever formed.
    """

    class Config(DatasetConfig):
        """Settings."""

        users: int = Field(default=300, ge=1)
        items: int = Field(default=200, ge=2)
        interactions_per_user: float = Field(default=30, gt=0)
        factors: int = Field(default=8, ge=1, description="tastes")
        loyalty: float = Field(default=0.8, ge=0, le=1, description="share of events from the user's own taste")
        skew: float = Field(default=0.8, ge=0)
        seed: int = Field(default=0, ge=0)

    config: Config
    licence: ClassVar[str] = "none needed: it is made from a seed"
    source: ClassVar[str] = "drawn by robench"

    def fingerprint(self) -> str:
        """Digest of the settings."""
        return hashlib.sha256(json.dumps(self.config.resolved(), sort_keys=True).encode()).hexdigest()

    def load(self) -> Ratings:
        """Events by user, in time order."""
        c = self.config
        rng = Rng(c.seed).child("synthetic")
        taste_of_item = rng.child("items").numpy().integers(0, c.factors, c.items)
        by_taste = [np.flatnonzero(taste_of_item == taste) for taste in range(c.factors)]
        everything = np.arange(c.items)
        pools = [pool if len(pool) else everything for pool in by_taste] + [everything]
        weights = [np.cumsum(1.0 / np.arange(1, len(pool) + 1) ** c.skew) for pool in pools]
        users, items = [], []
        for number, start in enumerate(range(0, c.users, BLOCK)):
            generator = rng.child("events", number).numpy()
            block = np.arange(start, min(start + BLOCK, c.users))
            counts = np.minimum(
                generator.geometric(1 / max(1.0, c.interactions_per_user), len(block)) + 2, 50 * c.items
            )
            user = np.repeat(block, counts)
            taste = np.repeat(generator.integers(0, c.factors, len(block)), counts)
            pool = np.where(generator.random(len(user)) < c.loyalty, taste, c.factors)
            draw = generator.random(len(user))
            item = np.empty(len(user), dtype=np.int64)
            for which, (members, cumulative) in enumerate(zip(pools, weights, strict=True)):
                mine = pool == which
                item[mine] = members[np.searchsorted(cumulative, draw[mine] * cumulative[-1])]
            users.append(user)
            items.append(item)
        every = np.concatenate(users)
        catalogue = {
            str(i): Item(f"Synthetic {i}", 1980 + i % 45, (f"taste {taste_of_item[i]}",)) for i in range(c.items)
        }
        return Ratings(every, np.concatenate(items), np.arange(len(every), dtype=np.int64), None, catalogue)
