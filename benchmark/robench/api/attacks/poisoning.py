"""Base classes of attacks that add fake users or change training interactions."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from robench.api.attacks.base import Adaptive, Attack
from robench.api.attacks.profiles import Profiles
from robench.api.attacks.surrogate import Pipeline
from robench.api.component import LATER, BaseConfig
from robench.api.data import Catalogue, IntArray, Interactions
from robench.api.knowledge import Knowledge, ModelKnowledge
from robench.api.rng import Rng
from robench.api.surfaces import Surface
from robench.api.threat import GoalName, Stage, Threat

VICTIM = "victim"  # the surrogate of an attack that fits the victim's own pipeline


@dataclass(frozen=True, eq=False)
class AttackerView:
    """Everything that an attack with fake users sees.

    Args:
        train: the training items of the users that the attack sees, one row per user. The sample of users depends on
            the seed and on the share of users, but not on the attack. The rows keep the order of the data.
        catalogue: the ids and descriptions of all items, which anybody can see.
        pipeline: the victim's model and defence, which the attack may fit on the users that it sees. It is None if the
            attack knows nothing about the model.
    """

    train: Interactions
    catalogue: Catalogue
    pipeline: Pipeline | None = None


class DataKnowledgeConfig(BaseConfig):
    """The knowledge of an attack that needs no access to the victim's model.

    An attack that declares these settings may still train a model of its own choice on the data that it sees.
    """

    data: float = Field(default=1.0, ge=0.001, le=1, description="Share of the real users that the attack sees")
    model: Literal["none"] = Field(default="none", description="What the attack knows about the victim's model")

    def knowledge(self) -> Knowledge:
        """Returns the knowledge that the threat model states."""
        return Knowledge(self.data, self.model)


class ModelKnowledgeConfig(DataKnowledgeConfig):
    """The knowledge of an attack that may fit copies of the victim."""

    model: ModelKnowledge = Field(  # type: ignore[assignment]
        default="none",
        description="What the attack may fit: nothing of the victim, its model and defence with other random numbers "
        "(`surrogate`), or with the victim's own random numbers (`victim`)",
    )


class PoisoningConfig(BaseConfig):
    """The settings that all attacks with fake users share."""

    profile_size: int | None = Field(
        default=None, ge=1, description="Items per fake user; null takes the median of the real users"
    )
    k: int = Field(default=10, ge=1, description="Length of the list that targets should enter, in items")
    knowledge: DataKnowledgeConfig = Field(
        default=DataKnowledgeConfig(),
        description="What the attack knows: a share of the users; other knowledge is another threat model",
        json_schema_extra=LATER,
    )


class FilterKnowledgeConfig(PoisoningConfig):
    """The settings of attacks that add fake users and may know the victim's defence."""

    knowledge: ModelKnowledgeConfig = Field(
        default=ModelKnowledgeConfig(),
        description="What the attack knows: a share of the users, and the model; other knowledge is another threat "
        "model",
        json_schema_extra=LATER,
    )
    suspicion_requests: int = Field(
        default=100,
        ge=1,
        description="Largest number of times that the victim's defence computes suspicion scores for the attack",
        json_schema_extra=LATER,
    )


class AdaptivePoisoningConfig(FilterKnowledgeConfig):
    """The settings of attacks that add fake users and may fit copies of the victim."""

    surrogate_fits: int = Field(
        default=1, ge=1, description="Largest number of fits of the victim's pipeline", json_schema_extra=LATER
    )


class PoisoningAttack(Attack):
    """An attack that adds fake users to the training data.

    By default, it promotes targets. If the attack has a setting ``goal``, it may also demote targets, or lower the
    ranks of the held-out items of real users (``untargeted``).

    ε is the number of fake users as a share of the real users. The host hands the attack only what the setting
    ``knowledge`` declares. An attack overrides ``profiles``, and also ``craft`` if it reads more than interactions.
    """

    Config: ClassVar[type[BaseConfig]] = PoisoningConfig
    surface: ClassVar[Surface] = "interactions"
    stage: ClassVar[Stage] = "train"
    adaptive: ClassVar[Adaptive] = "oblivious"

    def threat(self) -> Threat:
        """Returns the threat model, in which ε is a share of the real users."""
        norm = self.config.knowledge.knowledge().norm
        return Threat("interactions", "train", norm, "relative", self.goal, self.config.k)

    @property
    def goal(self) -> GoalName:
        """The goal of the attack: the setting ``goal``, or else ``promote``."""
        return self.setting("goal", "promote")

    @property
    def surrogate(self) -> str:
        """The model that the attack fits in place of the victim.

        The value is the name of a model, such as ``wmf``. It is ``VICTIM`` if the attack fits the victim's own
        pipeline, and an empty string if the attack fits no model. Tables show it, and no number depends on it.

        By default, the value is ``VICTIM`` if the attack's knowledge includes the model and the attack has a setting
        ``surrogate_fits``. Otherwise, the default is an empty string.
        """
        fits = self.config.knowledge.model != "none" and self.has_setting("surrogate_fits")
        return VICTIM if fits else ""

    def adaptivity(self) -> Adaptive:
        """Returns ``yes`` if the attack may fit the victim's pipeline.

        Otherwise, the result is the attribute ``adaptive``.
        """
        return self.adaptive if self.config.knowledge.model == "none" else "yes"

    def craft(self, view: AttackerView, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng) -> Profiles:
        """Returns profiles of fake users, computed from all that the attack sees.

        The host calls this method. The default implementation calls ``profiles`` with the interactions that the attack
        sees. The other arguments are those of ``profiles``.

        Args:
            view: all that the attack sees.
        """
        return self.profiles(view.train, targets=targets, n_users=n_users, profile_size=profile_size, rng=rng)

    @abstractmethod
    def profiles(
        self, train: Interactions, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng
    ) -> Profiles:
        """Returns profiles of fake users, computed from interactions alone.

        Args:
            train: the training items of the real users that the attack sees.
            targets: the items to promote or demote, int64 [T]. If the goal is ``promote``, every profile must contain
                all of these items. If the goal is ``demote``, no profile may contain any of them. An untargeted attack
                gets no targets.
            n_users: the maximum number of fake users.
            profile_size: the maximum number of items per profile.
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
            share: the share ε of the interactions. At most ⌈ε · n⌉ interactions may be changed, dropped, added or
                moved.
            rng: the stream of this attack.

        Returns:
            Interactions of the same users over the same catalogue. Each row must be in the order of its times.
        """
