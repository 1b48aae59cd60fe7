"""Base classes of attacks that add fake users or change training interactions."""

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
from robench.api.surfaces import Surface
from robench.api.threat import Stage, Threat


@dataclass(frozen=True)
class Profiles:
    """The profiles of fake users, as lists of items.

    Args:
        rows: the items of each fake user, oldest first, one int64 array per user. No profile may repeat an item.
    """

    rows: tuple[IntArray, ...]

    @staticmethod
    def of(rows: list[list[int]] | list[IntArray]) -> Profiles:
        """Returns the profiles of fake users, given one list of items per user."""
        return Profiles(tuple(np.asarray(row, dtype=np.int64) for row in rows))


class PoisoningConfig(BaseConfig):
    """The settings that all attacks with fake users share."""

    profile_size: int | None = Field(
        default=None, ge=1, description="Items per fake user; null takes the median of the real users"
    )
    k: int = Field(default=10, ge=1, description="Length of the list that targets should enter, in items")


class PoisoningAttack(Attack):
    """An attack that promotes targets by adding fake users to the training data.

    ε is the number of fake users as a share of the real users.
    """

    Config: ClassVar[type[BaseConfig]] = PoisoningConfig
    surface: ClassVar[Surface] = "interactions"
    stage: ClassVar[Stage] = "train"
    adaptive: ClassVar[Adaptive] = "oblivious"

    def threat(self) -> Threat:
        """Returns the threat model, in which ε is a share of the real users."""
        return Threat("interactions", "train", "users", "relative", "promote", self.config.k)

    @abstractmethod
    def profiles(
        self, train: Interactions, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng
    ) -> Profiles:
        """Returns the profiles of the fake users.

        Args:
            train: the interactions of the real users.
            targets: the items to promote, int64 [T]. Every profile must contain all of these items.
            n_users: the largest number of fake users.
            profile_size: the largest number of items per profile.
            rng: the stream of this attack.
        """


class Corruption(Attack):
    """An attack that changes, drops, adds or moves interactions of real users.

    ε is the number of changed, dropped, added and moved interactions, as a share of all interactions.
    """

    surface: ClassVar[Surface] = "interactions"
    stage: ClassVar[Stage] = "train"
    adaptive: ClassVar[Adaptive] = "oblivious"

    def threat(self) -> Threat:
        """Returns the threat model, in which ε is a share of the interactions."""
        return Threat("interactions", "train", "share", "relative", "untargeted")

    @abstractmethod
    def corrupt(self, train: Interactions, *, share: float, rng: Rng) -> Interactions:
        """Returns the changed interactions.

        Args:
            train: the n interactions of the real users.
            share: the share ε of the interactions. At most ⌈ε · n⌉ interactions may be changed, dropped or added.
            rng: the stream of this attack.

        Returns:
            Interactions of the same users over the same catalogue.
        """
