"""Synthetic interactions: users have a taste, and item popularity is skewed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from robench.api import Dataset, DatasetConfig, IntArray, Item, Ratings, Rng
from robench.api.component import LATER
from robench.api.item_vectors import ItemVectors
from robench_plugins.datasets.population import Population, draw
from robench_plugins.datasets.presets import PRESETS

BLOCK = 1 << 16  # the number of users that are drawn at a time, which limits the memory
POPULATION = ("fewest", "repeated", "new_items", "lifetime", "days")  # settings that need ``spread``


class Synthetic(Dataset):
    """Draws interactions of users who prefer the items of their own taste.

    Every user and every item has one taste. An interaction is drawn from the items of the user's taste with probability
    ``loyalty``, and from all items otherwise. In both cases the popularity of the items follows Zipf's law with the
    exponent ``skew``. Repeated pairs stay in the data, and by default the host keeps the first. Memory does not grow
    with the product of users and items.

    With ``spread``, the draw is that of a population: a heavy-tailed activity of users, one popularity of each item for
    all tastes, items that appear and disappear, and a given share of repeats. A ``preset`` sets these numbers so that
    the statistics are those of published data (docs/guide/domains.md has the sources). All numbers of a preset can be
    changed.
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
        preset: Literal["none", "news", "courses", "health", "social"] = Field(
            default="none",
            description="The kind of published data whose statistics give the defaults of all other settings",
            json_schema_extra=LATER,
        )
        spread: float | None = Field(
            default=None,
            ge=0,
            description="Standard deviation of the logarithm of a user's interactions; null is the plain draw, "
            "for which the settings below have no effect. With a number, interactions_per_user is the mean itself",
            json_schema_extra=LATER,
        )
        fewest: int = Field(
            default=1, ge=1, description="Smallest number of interactions of a user", json_schema_extra=LATER
        )
        repeated: float = Field(
            default=0,
            ge=0,
            lt=1,
            description="Share of interactions whose item the user already has",
            json_schema_extra=LATER,
        )
        new_items: float = Field(
            default=0, ge=0, le=1, description="Share of items that appear during the log", json_schema_extra=LATER
        )
        lifetime: float | None = Field(
            default=None,
            gt=0,
            description="Mean number of days for which an item is available; null keeps items available",
            json_schema_extra=LATER,
        )
        days: float = Field(default=365, gt=0, description="Length of the log in days", json_schema_extra=LATER)

        @model_validator(mode="before")
        @classmethod
        def _apply_preset(cls, settings: Any) -> Any:
            """Adds the values of a preset that the settings do not have."""
            preset = PRESETS.get(str(settings.get("preset"))) if isinstance(settings, Mapping) else None
            return {**preset.settings, **settings} if preset else settings

        @model_validator(mode="after")
        def _check_population(self) -> Self:
            if self.spread is None:
                given = [name for name in POPULATION if getattr(self, name) != type(self).model_fields[name].default]
                if given:
                    raise ValueError(f"{given[0]} has an effect only with a number for spread")
            elif self.interactions_per_user < self.fewest:
                raise ValueError("interactions_per_user is below fewest, so no user could have the mean")
            return self

        def resolved(self) -> dict[str, Any]:
            """Returns the values of all fields. Those of a preset are always among them."""
            named = PRESETS[self.preset].settings if self.preset in PRESETS else ()
            return super().resolved() | {name: getattr(self, name) for name in named}

    config: Config
    licence: ClassVar[str] = "none needed: it is made from a seed"
    source: ClassVar[str] = "drawn by robench"

    def fingerprint(self) -> str:
        """Returns a digest of the settings."""
        return hashlib.sha256(json.dumps(self.config.resolved(), sort_keys=True).encode()).hexdigest()

    def load(self) -> Ratings:
        """Returns the interactions, sorted by user and then by time."""
        c = self.config
        if c.spread is not None:
            return self._load_population(c.spread)
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
        order = np.arange(len(user_of_row), dtype=np.int64)
        catalogue = self._catalogue(taste_of_item.tolist())
        vectors = self._vectors(taste_of_item, rng.child("vectors")) if c.vector_length else None
        return Ratings(user_of_row, np.concatenate(items), order, None, catalogue, ticks=None, vectors=vectors)

    def _vectors(self, taste_of_item: IntArray, rng: Rng) -> ItemVectors:
        """Returns a vector per item: a direction of the item's taste, plus noise."""
        generator = rng.numpy()
        directions = generator.normal(size=(self.config.factors, self.config.vector_length))
        noise = generator.normal(size=(len(taste_of_item), self.config.vector_length))
        rows = (directions[taste_of_item] + noise).astype(np.float32)
        return ItemVectors([str(item) for item in range(len(taste_of_item))], rows)

    def _load_population(self, spread: float) -> Ratings:
        """Returns the interactions of a population, with times in seconds."""
        c = self.config
        numbers = (c.users, c.items, c.interactions_per_user, c.fewest, spread, c.factors, c.loyalty, c.skew)
        rng = Rng(c.seed).child("synthetic")
        log = draw(Population(*numbers, c.repeated, c.new_items, c.lifetime, c.days), rng)
        catalogue = self._catalogue(log.tastes.tolist())
        vectors = self._vectors(log.tastes, rng.child("vectors")) if c.vector_length else None
        return Ratings(log.users, log.items, log.times, None, catalogue, vectors=vectors)

    def _catalogue(self, tastes: list[int]) -> dict[str, Item]:
        return {str(i): Item(f"Synthetic {i}", 1980 + i % 45, (f"taste {t}",)) for i, t in enumerate(tastes)}
