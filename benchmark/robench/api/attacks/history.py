"""Attacks on the surface ``history``: some interactions of a genuine user are substituted, inserted or deleted.

Rows of histories are int64 [B, L], oldest item first, right-padded with −1.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol

from pydantic import AfterValidator, Field

from robench.api.attacks.base import Attack, Evaluation, LossName
from robench.api.component import BaseConfig
from robench.api.rng import Rng
from robench.api.threat import Scale, Stage, Surface, Threat

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api.attacks.slopes import Slopes

Edit = Literal["substitute", "insert", "delete"]
SUBSTITUTE, INSERT, DELETE = 0, 1, 2
KINDS: dict[Edit, int] = {"substitute": SUBSTITUTE, "insert": INSERT, "delete": DELETE}


def _distinct(edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
    if not edits or len(set(edits)) < len(edits):
        raise ValueError("name each kind of edit once, and at least one")
    return edits


class HistoryConfig(BaseConfig):
    """Settings of every attack on the surface ``history``."""

    unit: Literal["edits", "fraction"] = Field(
        default="edits", description="Unit of ε: edits, or a fraction of the history's length (at least one edit)"
    )
    goal: Literal["untargeted", "promote"] = Field(
        default="untargeted", description="Push held-out items out of the top k, or promoted items into it"
    )
    k: int = Field(default=10, ge=1, description="Length of the list that the goal refers to, in items")
    expectation: int = Field(default=1, ge=1, description="Draws averaged per evaluation of a stochastic victim")
    edits: Annotated[tuple[Edit, ...], AfterValidator(_distinct)] = Field(
        default=("substitute", "insert", "delete"), description="Kinds of edits that the attack may make"
    )


class HistoryOracle(Protocol):
    """One chunk of users of one victim, as an attack on histories may query it. Every evaluation is counted.

    The host owns the loss, see ``Oracle``; the masks stay those of the genuine histories. All tensors are on the CPU.
    """

    @property
    def users(self) -> Tensor:
        """int64 [B]."""
        ...

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        ...

    @property
    def to_break(self) -> Tensor:
        """bool [B]: the goal is not reached with the genuine history."""
        ...

    def rows(self) -> Tensor:
        """The genuine histories: int64 [B, L]."""
        ...

    def budget(self) -> Tensor:
        """Edits that each user may have: int64 [B]. The host takes the Levenshtein distance to the genuine history."""
        ...

    def insertable(self, rows: Tensor | None = None) -> Tensor:
        """Items that may come into ``rows`` (default: the genuine ones): bool [B, n_items].

        No held-out and no promoted item, and none that the row holds.
        """
        ...

    def evaluate(self, rows: Tensor, loss: LossName = "ce") -> Evaluation:
        """Loss and outcome with these histories."""
        ...

    def slopes(self, rows: Tensor, loss: LossName = "ce") -> Slopes | None:
        """Slopes of the loss at these histories; None where the model offers no gradient by its items."""
        ...

    def uniform(self, rng: Rng, *shape: int) -> Tensor:
        """Uniform in [0, 1), a stream per user, so that chunks change nothing: float64 [B, *shape]."""
        ...


class HistoryAttack(Attack):
    """Edits a user's history at test time within a number of edits."""

    Config: ClassVar[type[BaseConfig]] = HistoryConfig
    surface: ClassVar[Surface] = "history"
    stage: ClassVar[Stage] = "test"

    def threat(self) -> Threat:
        """History, at test time; relative where ε is a share of the history's length."""
        c = self.config
        scale: Scale = "relative" if c.unit == "fraction" else "absolute"
        return Threat("history", "test", "edits", scale, c.goal, c.k)

    @abstractmethod
    def rewrite(self, oracle: HistoryOracle, rng: Rng) -> Iterator[Tensor]:
        """Candidates, int64 [B, any L]. The host refuses a row that is over budget or holds a forbidden item, re-scores
        the others and keeps the worst per user.
        """
