"""Base classes of attacks on embeddings, and the oracle that these attacks query.

Attacks on the surfaces ``embedding`` and ``parameters`` use these classes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self

from pydantic import Field, model_validator

from robench.api.attacks.base import Attack, Evaluation, Kind, LossName, OwnLoss, Positives
from robench.api.component import BaseConfig
from robench.api.errors import SettingError
from robench.api.rng import Rng
from robench.api.surfaces import Scale, Surface
from robench.api.threat import Stage, Threat

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api.attacks.ball import Ball, Delta


class Oracle(Protocol):
    """The interface through which an attack queries a victim about a chunk of users.

    Every evaluation is counted. The host owns the loss, which compares the score s_y of an item y with the scores s_j
    of its rivals j. The rivals are all unmasked items outside the goal. If the attack is untargeted, y is a held-out
    item. For a single item y, the losses are:

    - ``ce`` is −log softmax of s_y over the unmasked catalogue.
    - ``margin`` is s_(k) − s_y. Here s_(k) is the score of the k-th best rival.
    - ``bpr`` is the mean of softplus(s_j − s_y) over the rivals j.
    - ``hinge`` is −Σ max(0, s_y − s_j) over the k best rivals j. The loss already rises if y loses a place within the
      top k.
    - ``ndcg`` is −1 / log2(1 + r). Here r is a smooth rank of y, which is 1 plus a sum of logistic steps.

    With several items, ``margin`` is the margin of the item that is hardest to move, and every other loss is a mean
    over the items. Under the goal ``promote``, y is a promoted item. ``hinge`` then contains s_j − s_y in place of s_y
    − s_j, and every other loss has the opposite sign. Under both goals, a higher loss is better for the attacker. In
    place of a name, an attack may pass its own function of the masked scores (``OwnLoss``).

    On the surface ``embedding``, a row of a perturbation δ belongs to one user. On ``parameters``, a row of δ belongs
    to a row of the embedding tables. The loss is then the mean over all users.
    """

    @property
    def to_break(self) -> Tensor:
        """True for each row that the attack still has to break: bool [B].

        On the surface ``parameters``, the value is True for every row.
        """
        ...

    def zero(self) -> dict[str, Tensor]:
        """Returns the perturbation δ = 0."""
        ...

    def lengths(self) -> Tensor:
        """Returns the number of entries that may be perturbed in each row: float [B]."""
        ...

    def evaluate(self, delta: Delta, loss: LossName | OwnLoss = "ce") -> Evaluation:
        """Returns the loss and the outcome at a perturbation, without a gradient.

        Args:
            delta: the perturbation.
            loss: the name of the loss, or the attack's own function of the masked scores.
        """
        ...

    def gradient(self, delta: Delta, loss: LossName | OwnLoss = "ce", rival: Tensor | None = None) -> Evaluation:
        """Returns the loss, the outcome and the gradient at a perturbation.

        Args:
            delta: the perturbation.
            loss: the name of the loss to differentiate, or the attack's own function of the masked scores.
            rival: for each user, the item with which ``margin`` compares, int64 [B]. The default is the k-th best
                rival. This argument is ignored if items are promoted, and on the surface ``parameters``.
        """
        ...

    def rivals(self, count: int) -> Tensor:
        """Returns each user's best items, except masked and held-out items.

        The scores are those of the genuine inputs. The query is not counted.

        Returns:
            The items, int64 [B, at most count], best first. On the surface ``parameters``, the shape is [B, 0], because
            one perturbation serves all users.
        """
        ...

    def normal(self, rng: Rng) -> dict[str, Tensor]:
        """Draws standard normal entries at the places that may be perturbed.

        On the surface ``embedding``, each user has a separate random stream.
        """
        ...

    def uniform(self, rng: Rng) -> dict[str, Tensor]:
        """Draws uniform entries in [−1, 1] at the places that may be perturbed.

        On the surface ``embedding``, each user has a separate random stream.
        """
        ...


class EmbeddingConfig(BaseConfig):
    """The settings that all attacks on embeddings share."""

    norm: Literal["l2", "linf"] = Field(default="l2", description="Norm of the ball that δ stays in")
    scale: Scale = Field(
        default="relative", description="Whether ε is relative to the size of the genuine values, or absolute"
    )
    surface: Literal["embedding", "parameters", "features"] = Field(
        default="embedding",
        description="What δ is added to: each user's embedded inputs, or the tables, or the vectors of items from the "
        "data set; tables and vectors are shared by all users",
    )
    goal: Literal["untargeted", "promote"] = Field(
        default="untargeted", description="Push held-out items out of the top k, or promoted items into it"
    )
    k: int = Field(default=10, ge=1, description="Length of the list that the goal refers to, in items")
    positives: Positives = Field(
        default="held-out",
        description="Items that the attack on parameters demotes; known (training) items as in APR and MSAP",
    )
    expectation: int = Field(default=1, ge=1, description="Scorings of a stochastic victim that an evaluation averages")

    @model_validator(mode="after")
    def _compared_in_pairs(self) -> Self:
        if self.positives == "known":
            if self.surface != "parameters":
                field = "surface" if "surface" in self.model_fields_set else "positives"
                hint = "write surface: parameters, or positives: held-out"
                raise SettingError(f"positives: known is of the surface parameters, not of {self.surface}", field, hint)
            if self.goal != "untargeted":
                hint = "leave goal out, or write positives: held-out"
                raise SettingError(
                    f"goal: {self.goal} does not go with positives: known, which it demotes", "goal", hint
                )
            if dict(self).get("loss", "bpr") != "bpr":
                raise SettingError("known items are compared in pairs, as BPR does", "loss", "write loss: bpr")
        return self


class EmbeddingAttack(Attack):
    """An attack that adds a bounded perturbation to embedded inputs or to tables."""

    Config: ClassVar[type[BaseConfig]] = EmbeddingConfig
    surface: ClassVar[Surface] = "embedding"
    stage: ClassVar[Stage] = "test"

    def threat(self) -> Threat:
        """Returns the threat model that the settings describe, with the stage ``test``."""
        c = self.config
        return Threat(c.surface, "test", c.norm, c.scale, c.goal, c.k)

    @abstractmethod
    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """Yields candidates within ``ball``.

        The host projects each candidate onto the ball and scores the result. On the surface ``embedding``, the host
        keeps the worst candidate of each user. On ``parameters``, the host keeps the worst candidate for all users.
        """


class MinimumNormConfig(EmbeddingConfig):
    """The settings that all minimum-norm attacks share."""

    surface: Literal["embedding"] = "embedding"


class MinimumNormAttack(EmbeddingAttack):
    """An attack that searches for the shortest perturbation that breaks each user.

    The attack does not depend on ε. The host keeps the shortest candidate that breaks each user. At a given ε, a user
    counts as broken if this candidate is within the budget.
    """

    Config: ClassVar[type[BaseConfig]] = MinimumNormConfig

    @classmethod
    def kind(cls) -> Kind:
        """Returns ``minimum-norm``."""
        return "minimum-norm"

    @abstractmethod
    def minimise(self, oracle: Oracle, rng: Rng) -> Iterator[Delta]:
        """Yields candidates for the users that ``oracle.to_break`` marks.

        The host ignores what candidates contain for other users.
        """

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """Yields the candidates of ``minimise``."""
        return self.minimise(oracle, rng)
