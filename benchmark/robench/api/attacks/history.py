"""The base class of attacks on histories, their oracle, and the kinds of edits.

A batch of histories is int64 [B, L]. The oldest item comes first, and rows are right-padded with −1.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol, Self

from pydantic import AfterValidator, Field, model_validator

from robench.api.attacks.base import Attack, Evaluation, LossName
from robench.api.component import LATER, BaseConfig
from robench.api.edit_rules import EditRules, Place
from robench.api.errors import SettingError
from robench.api.rng import Rng
from robench.api.surfaces import Scale, Surface
from robench.api.threat import Stage, Threat

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


class RulesConfig(BaseConfig):
    """The settings that determine the rules for edits.

    These rules are part of the threat model.
    """

    place: Place = Field(
        default="anywhere",
        description="Where a history may be edited; with end, items may only be inserted after the last item",
        json_schema_extra=LATER,
    )
    plausible: float | None = Field(
        default=None,
        ge=0.001,
        le=0.999,
        description="Quantile of genuine next items: inserted items co-occur with the history at least as often",
        json_schema_extra=LATER,
    )
    white_box: bool = Field(
        default=False,
        description="Whether the threat model includes gradients; its tables compare no two models",
        json_schema_extra=LATER,
    )

    @property
    def rules(self) -> EditRules:
        """The rules for edits."""
        return EditRules(self.place, self.plausible, self.white_box)


class HistoryConfig(RulesConfig):
    """The settings that all attacks on the surface ``history`` share."""

    unit: Literal["edits", "fraction"] = Field(
        default="edits", description="Unit of ε: edits, or a fraction of the history's length (at least one edit)"
    )
    goal: Literal["untargeted", "promote"] = Field(
        default="untargeted", description="Push held-out items out of the top k, or promoted items into it"
    )
    k: int = Field(default=10, ge=1, description="Length of the list that the goal refers to, in items")
    expectation: int = Field(default=1, ge=1, description="Scorings of a stochastic victim that an evaluation averages")
    edits: Annotated[tuple[Edit, ...], AfterValidator(_distinct)] = Field(
        default=("substitute", "insert", "delete"), description="Kinds of edits that the attack may make"
    )

    @property
    def kinds(self) -> tuple[Edit, ...]:
        """The kinds of edits that the settings and the rules allow."""
        return ("insert",) if self.place == "end" else self.edits

    @model_validator(mode="after")
    def _check_place(self) -> Self:
        """Checks that the place leaves at least one kind of edit.

        Raises:
            SettingError: if ``place`` is ``end`` and ``edits`` do not include insertions.
        """
        if self.place == "end" and "insert" not in self.edits:
            raise SettingError("at the end of a history, items can only be inserted", "place", "edits: [insert]")
        return self


class HistoryOracle(Protocol):
    """The interface through which an attack queries a victim about a chunk of users.

    Every evaluation is counted. The host owns the loss, which ``Oracle`` describes. The masks always come from the
    genuine histories. All tensors are on the CPU.
    """

    @property
    def users(self) -> Tensor:
        """The ids of the users in this chunk: int64 [B]."""
        ...

    @property
    def n_items(self) -> int:
        """The number of items in the catalogue."""
        ...

    @property
    def to_break(self) -> Tensor:
        """True for each user that the attack still has to break: bool [B]."""
        ...

    def rows(self) -> Tensor:
        """Returns the genuine histories: int64 [B, L]."""
        ...

    def budget(self) -> Tensor:
        """Returns the maximum number of edits per history: int64 [B].

        The host counts edits as the Levenshtein distance to the genuine history.
        """
        ...

    def insertable(self, rows: Tensor | None = None) -> Tensor:
        """Returns a mask of the items that may be added to each row: bool [B, n_items].

        Held-out items, promoted items, items that are not plausible and items that the row already holds may not be
        added.

        Args:
            rows: the histories, int64 [B, L]. The default is the genuine histories.
        """
        ...

    @property
    def additive(self) -> bool:
        """True if the scores of a non-empty history are a sum of one vector per item.

        The model declares this by ``Model.additive``, and the host verifies it.
        """
        ...

    def goal_items(self) -> Tensor:
        """Returns the items of each user's goal: int64 [B, H], padded with −1.

        If the attack is untargeted, these are the held-out items. Otherwise, these are the promoted items that the
        user does not have.
        """
        ...

    def evaluate(self, rows: Tensor, loss: LossName = "ce") -> Evaluation:
        """Returns the loss and the outcome at these histories."""
        ...

    def scores(self, rows: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Returns the scores of all items for edited histories: float [b, n_items].

        The items of the genuine histories have the score −inf. Each user counts as one query per scoring.

        Args:
            rows: the histories of the chosen users, int64 [b, any L].
            chosen: the positions of distinct users in ``users``, int64 [b]. The default is all users.
        """
        ...

    def slopes(self, rows: Tensor, loss: LossName = "ce") -> Slopes | None:
        """Returns the slopes of the loss at these histories.

        The result is None if the model offers no slopes with respect to the items of a history.
        """
        ...

    def uniform(self, rng: Rng, *shape: int) -> Tensor:
        """Draws uniform numbers in [0, 1): float64 [B, *shape].

        Each user has a separate random stream, so the numbers do not depend on the chunks.
        """
        ...


class HistoryAttack(Attack):
    """An attack that edits the histories of users at test time."""

    Config: ClassVar[type[BaseConfig]] = HistoryConfig
    surface: ClassVar[Surface] = "history"
    stage: ClassVar[Stage] = "test"

    def threat(self) -> Threat:
        """Returns the threat model, in which ε is relative if ``unit`` is ``fraction``.

        The norm states the rules for edits.
        """
        c = self.config
        scale: Scale = "relative" if c.unit == "fraction" else "absolute"
        return Threat("history", "test", c.rules.norm, scale, c.goal, c.k)

    @abstractmethod
    def rewrite(self, oracle: HistoryOracle, rng: Rng) -> Iterator[Tensor]:
        """Yields candidate histories, int64 [B, any L].

        If a row is over budget or breaks another rule, the host uses the genuine row instead. The host scores the
        histories and keeps the worst row of each user.
        """
