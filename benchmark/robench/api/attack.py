"""Attacks: a plugin proposes, the host projects, re-scores and keeps the worst."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Protocol

import numpy as np
from pydantic import Field

from robench.api.component import BaseConfig, Component
from robench.api.data import IntArray, Interactions
from robench.api.rng import Rng
from robench.api.threat import Scale, Stage, Surface, Threat

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api.delta import Ball, Delta

LossName = Literal["ce", "margin", "bpr"]
Adaptive = Literal["yes", "oblivious", "frozen"]


class Attack(Component):
    """Base of all attacks. ε is not part of ``Config``: it is the suite's grid axis and the host's to enforce.

    The flags of a leaderboard ask for ``gradient`` (climbs the loss by gradients: judged against random points, smaller
    ε and fewer steps) and ``heuristic_floor`` (random points, which every gradient attack must beat).
    """

    surface: ClassVar[Surface]
    stage: ClassVar[Stage]
    adaptive: ClassVar[Adaptive] = "yes"
    gradient: ClassVar[bool] = False
    heuristic_floor: ClassVar[bool] = False

    @abstractmethod
    def threat(self) -> Threat:
        """The threat model of this configuration."""


class Evaluation(NamedTuple):
    """What the host says of a perturbation.

    ``loss`` float [B], higher is worse for the held-out items; ``broken`` bool [B], all held-out items out of the top
    k; ``gradient`` of the loss by δ, or None.
    """

    loss: Tensor
    broken: Tensor
    gradient: Delta | None


class Oracle(Protocol):
    """One chunk of users of one victim, as an attack at test time may query it. Every call is counted.

    The host owns the loss: ``ce`` is −log softmax of the held-out item over the unmasked catalogue, ``margin`` is
    s_(k) − s_y against the k-th best competitor, ``bpr`` is the mean softplus(s_j − s_y). All rise as the item falls.
    """

    @property
    def users(self) -> Tensor:
        """int64 [B]."""
        ...

    @property
    def hit(self) -> Tensor:
        """bool [B]: a held-out item is in the clean top k."""
        ...

    def zero(self) -> dict[str, Tensor]:
        """δ = 0."""
        ...

    def lengths(self) -> Tensor:
        """Number of entries that may be perturbed, per row: float [B]."""
        ...

    def evaluate(self, delta: Delta, loss: LossName = "ce") -> Evaluation:
        """Loss and outcome at δ, without gradient."""
        ...

    def gradient(self, delta: Delta, loss: LossName = "ce", rival: Tensor | None = None) -> Evaluation:
        """Loss, outcome and gradient at δ; ``margin`` can be taken against one ``rival`` item per user (int64 [B])."""
        ...

    def rivals(self, count: int) -> Tensor:
        """The best unmasked competitors at δ = 0, best first: int64 [B, at most count]."""
        ...

    def normal(self, rng: Rng) -> dict[str, Tensor]:
        """Standard normal entries at the valid places, a stream per user."""
        ...

    def uniform(self, rng: Rng) -> dict[str, Tensor]:
        """Entries uniform in [−1, 1] at the valid places, a stream per user."""
        ...


class EmbeddingConfig(BaseConfig):
    """Settings of every attack on the surface ``embedding``."""

    norm: Literal["l2", "linf"] = "l2"
    scale: Scale = "relative"
    k: int = Field(default=10, ge=1, description="the top k that the attack wants the held-out item out of")


class EmbeddingAttack(Attack):
    """Perturbs each user's embedded inputs within a ball."""

    Config: ClassVar[type[BaseConfig]] = EmbeddingConfig
    surface: ClassVar[Surface] = "embedding"
    stage: ClassVar[Stage] = "test"

    def threat(self) -> Threat:
        """Embedding, at test time, untargeted."""
        return Threat("embedding", "test", self.config.norm, self.config.scale, "untargeted", self.config.k)

    @abstractmethod
    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """Candidates within ``ball``; the host projects and re-scores each and keeps the worst per user."""


class MinimumNormAttack(EmbeddingAttack):
    """Looks for the least perturbation that breaks each user; does not know ε.

    The host keeps the shortest candidate that breaks the user; at ε the user counts as broken where it fits the budget.
    """

    @abstractmethod
    def minimise(self, oracle: Oracle, rng: Rng) -> Iterator[Delta]:
        """Candidates, for users with ``oracle.hit``; others are ignored."""

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """The candidates of ``minimise``."""
        return self.minimise(oracle, rng)


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

    profile_size: int | None = Field(default=None, ge=1, description="items per profile; default: median real length")
    k: int = Field(default=10, ge=1)


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
