"""Synthetic interactions: users have a taste, and item popularity is skewed."""

from __future__ import annotations

import hashlib
import json
from typing import ClassVar

import numpy as np
from pydantic import Field

from robench.api import Dataset, DatasetConfig, IntArray, Item, Ratings, Rng
from robench.api.component import LATER
from robench.api.item_vectors import ItemVectors

BLOCK = 1 << 16  # the number of users that are drawn at a time, which limits the memory


class Synthetic(Dataset):
    """Draws interactions of users who prefer the items of their own taste.

    Every user and every item has one taste. An interaction is drawn from the items of the user's taste with probability
    ``loyalty``, and from all items otherwise. In both cases the popularity of the items follows Zipf's law with the
    exponent ``skew``. Repeated pairs stay in the data, and by default the host keeps the first. Memory does not grow
    with the product of users and items.
    """

    class Config(DatasetConfig):
        """Settings of the draw."""

        users: int = Field(default=300, ge=1, description="Number of users")
        items: int = Field(default=200, ge=2, description="Number of items")
        interactions_per_user: float = Field(
            default=30,
            gt=0,
            description="Mean of the geometric distribution that gives a user's number of interactions, to which two "
            "are added",
        )
        factors: int = Field(default=8, ge=1, description="Number of tastes")
        loyalty: float = Field(
            default=0.8, ge=0, le=1, description="Share of interactions that are drawn from the user's own taste"
        )
        skew: float = Field(
            default=0.8, ge=0, description="Exponent of Zipf's law; 0 makes all items of a pool equally popular"
        )
        seed: int = Field(default=0, ge=0, description="Seed of the draw")
        vector_length: int = Field(
            default=0,
            ge=0,
            description="Length of a vector per item that shows the item's taste through noise; 0 gives no vectors",
            json_schema_extra=LATER,
        )

    config: Config
    licence: ClassVar[str] = "none needed: it is made from a seed"
    source: ClassVar[str] = "drawn by robench"

    def fingerprint(self) -> str:
        """Returns a digest of the settings."""
        return hashlib.sha256(json.dumps(self.config.resolved(), sort_keys=True).encode()).hexdigest()

    def load(self) -> Ratings:
        """Returns the interactions, sorted by user and then by time."""
        c = self.config
        rng = Rng(c.seed).child("synthetic")
        taste_of_item = rng.child("items").numpy().integers(0, c.factors, c.items)
        by_taste = [np.flatnonzero(taste_of_item == taste) for taste in range(c.factors)]
        every_item = np.arange(c.items)
        pools = [pool if len(pool) else every_item for pool in by_taste] + [every_item]
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
            for number_of_pool, (members, cumulative) in enumerate(zip(pools, weights, strict=True)):
                rows = pool == number_of_pool
                item[rows] = members[np.searchsorted(cumulative, draw[rows] * cumulative[-1])]
            users.append(user)
            items.append(item)
        user_of_row = np.concatenate(users)
        catalogue = {
            str(i): Item(f"Synthetic {i}", 1980 + i % 45, (f"taste {taste_of_item[i]}",)) for i in range(c.items)
        }
        order = np.arange(len(user_of_row), dtype=np.int64)
        vectors = self._vectors(taste_of_item, rng.child("vectors")) if c.vector_length else None
        return Ratings(user_of_row, np.concatenate(items), order, None, catalogue, ticks=None, vectors=vectors)

    def _vectors(self, taste_of_item: IntArray, rng: Rng) -> ItemVectors:
        """Returns a vector per item: a direction of the item's taste, plus noise."""
        generator = rng.numpy()
        directions = generator.normal(size=(self.config.factors, self.config.vector_length))
        noise = generator.normal(size=(len(taste_of_item), self.config.vector_length))
        rows = (directions[taste_of_item] + noise).astype(np.float32)
        return ItemVectors([str(item) for item in range(len(taste_of_item))], rows)
