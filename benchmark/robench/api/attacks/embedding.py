"""TODO-DOC."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self

from pydantic import Field, model_validator

from robench.api.component import BaseConfig
from robench.api.errors import SettingError
from robench.api.rng import Rng
from robench.api.threat import Scale, Stage, Surface, Threat

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api.attacks.ball import Ball, Delta
from robench.api.attacks.base import Attack, Evaluation, Kind, LossName, Positives


class Oracle(Protocol):
    """One chunk of users of one victim, as an attack at test time may query it. Every call is counted.

    The host owns the loss. Untargeted, y is a held-out item: ``ce`` is −log softmax of y over the unmasked catalogue,
    ``margin`` is s_(k) − s_y against the k-th best competitor, ``bpr`` is the mean softplus(s_j − s_y). Under the goal
    ``promote`` it is the same of a promoted item with the sign turned. All rise as the attack comes nearer to its goal.

    On the surface ``embedding`` the rows of δ are users; on ``parameters`` they are rows of the embedding tables, and
    the loss is the mean over all users.
    """

    @property
    def to_break(self) -> Tensor:
        """bool [B]: rows whose goal is not reached at δ = 0."""
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
        """The best unmasked competitors at δ = 0, best first: int64 [B, at most count]; none where one δ serves all."""
        ...

    def normal(self, rng: Rng) -> dict[str, Tensor]:
        """Standard normal entries at the valid places, a stream per user."""
        ...

    def uniform(self, rng: Rng) -> dict[str, Tensor]:
        """Entries uniform in [−1, 1] at the valid places, a stream per user."""
        ...


class EmbeddingConfig(BaseConfig):
    """Settings of every attack that adds δ to embeddings."""

    norm: Literal["l2", "linf"] = Field(default="l2", description="Norm of the ball that δ stays in")
    scale: Scale = Field(
        default="relative", description="Whether ε is relative to the size of the genuine values, or absolute"
    )
    surface: Literal["embedding", "parameters"] = Field(
        default="embedding",
        description="What δ is added to: each user's embedded inputs, or the tables, shared by all users",
    )
    goal: Literal["untargeted", "promote"] = Field(
        default="untargeted", description="Push held-out items out of the top k, or promoted items into it"
    )
    k: int = Field(default=10, ge=1, description="Length of the list that the goal refers to, in items")
    positives: Positives = Field(
        default="held-out",
        description="Items that the attack on parameters demotes; known (training) items as in APR and MSAP",
    )
    expectation: int = Field(default=1, ge=1, description="Draws averaged per evaluation of a stochastic victim")

    @model_validator(mode="after")
    def _compared_in_pairs(self) -> Self:
        if self.positives == "known":
            if self.surface != "parameters":
                field = "surface" if "surface" in self.model_fields_set else "positives"
                hint = "write surface: parameters, or positives: held-out"
                raise SettingError(f"positives: known is of the surface parameters, not of {self.surface}", field, hint)
            if self.goal != "untargeted":
                hint = "leave goal out, or write positives: held-out beside it"
                raise SettingError(
                    f"goal: {self.goal} does not go with positives: known, which shall fall", "goal", hint
                )
            if dict(self).get("loss", "bpr") != "bpr":
                raise SettingError("known items are compared in pairs, as BPR does", "loss", "write loss: bpr")
        return self


class EmbeddingAttack(Attack):
    """Adds δ within a ball to embeddings: each user's inputs, or one δ to the tables."""

    Config: ClassVar[type[BaseConfig]] = EmbeddingConfig
    surface: ClassVar[Surface] = "embedding"
    stage: ClassVar[Stage] = "test"

    def threat(self) -> Threat:
        """As configured, at test time."""
        c = self.config
        return Threat(c.surface, "test", c.norm, c.scale, c.goal, c.k)

    @abstractmethod
    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """Candidates within ``ball``; the host projects and re-scores each and keeps the worst per user."""


class MinimumNormConfig(EmbeddingConfig):
    """Settings of every minimum-norm attack."""

    surface: Literal["embedding"] = "embedding"


class MinimumNormAttack(EmbeddingAttack):
    """Looks for the least perturbation that breaks each user; does not know ε.

    The host keeps the shortest candidate that breaks the user; at ε the user counts as broken where it fits the budget.
    """

    Config: ClassVar[type[BaseConfig]] = MinimumNormConfig

    @classmethod
    def kind(cls) -> Kind:
        """A minimum-norm attack."""
        return "minimum-norm"

    @abstractmethod
    def minimise(self, oracle: Oracle, rng: Rng) -> Iterator[Delta]:
        """Candidates, for users with ``oracle.to_break``; others are ignored."""

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """The candidates of ``minimise``."""
        return self.minimise(oracle, rng)
