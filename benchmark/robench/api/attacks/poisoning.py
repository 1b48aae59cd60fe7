"""Attacks on training data: fake users, and changed interactions."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field

from robench.api.attacks.base import Adaptive, Attack
from robench.api.component import BaseConfig
from robench.api.data import IntArray, Interactions
from robench.api.rng import Rng
from robench.api.threat import Stage, Surface, Threat


@dataclass(frozen=True)
class Profiles:
    """Fake users: one ordered sequence of distinct items each (int64 arrays)."""

    rows: tuple[IntArray, ...]

    @staticmethod
    def of(rows: list[list[int]] | list[IntArray]) -> Profiles:
        """From lists."""
        return Profiles(tuple(np.asarray(row, dtype=np.int64) for row in rows))


class PoisoningConfig(BaseConfig):
    """Settings of every attack with fake users."""

    profile_size: int | None = Field(
        default=None, ge=1, description="Items per fake user; null takes the median of the real users"
    )
    k: int = Field(default=10, ge=1, description="Length of the list that targets should enter, in items")


class PoisoningAttack(Attack):
    """Adds fake users to the training data so that target items rise. ε is their share of the real users."""

    Config: ClassVar[type[BaseConfig]] = PoisoningConfig
    surface: ClassVar[Surface] = "interactions"
    stage: ClassVar[Stage] = "train"
    adaptive: ClassVar[Adaptive] = "oblivious"

    def threat(self) -> Threat:
        """Interactions, before the fit, promote."""
        return Threat("interactions", "train", "users", "relative", "promote", self.config.k)

    @abstractmethod
    def profiles(
        self, train: Interactions, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng
    ) -> Profiles:
        """``n_users`` profiles of ``profile_size`` items, each with all ``targets`` (int64)."""


class Corruption(Attack):
    """Changes, drops or adds interactions of real users. ε is the share of interactions that change."""

    surface: ClassVar[Surface] = "interactions"
    stage: ClassVar[Stage] = "train"
    adaptive: ClassVar[Adaptive] = "oblivious"

    def threat(self) -> Threat:
        """Interactions, before the fit, untargeted."""
        return Threat("interactions", "train", "share", "relative", "untargeted")

    @abstractmethod
    def corrupt(self, train: Interactions, *, share: float, rng: Rng) -> Interactions:
        """``train`` with at most ⌈share · n⌉ interactions changed, dropped or added; the same users and items."""
