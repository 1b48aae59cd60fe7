"""The base class of attacks that add fake users and can evade a defence."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Self

from pydantic import Field, model_validator

from robench.api import BaseConfig, IntArray, Interactions, Profiles, Rng
from robench.api.attacks.poisoning import AttackerView, FilterKnowledgeConfig
from robench.api.component import LATER
from robench_plugins.attacks.poisoning.evasion import Evasion, Fillers, Judge, fillers_of
from robench_plugins.attacks.poisoning.fake_users import FakeUserAttack, FakeUserConfig


class EvadingConfig(FilterKnowledgeConfig, FakeUserConfig):
    """The settings of the attacks that can evade the victim's defence."""

    evade: bool = Field(
        default=False,
        description="Choose fillers that the victim's defence does not suspect; needs `knowledge: {model: surrogate}` "
        "or `victim`",
        json_schema_extra=LATER,
    )

    @model_validator(mode="after")
    def _check_knowledge(self) -> Self:
        if self.evade and self.knowledge.model == "none":
            raise ValueError("evade needs knowledge of the defence: set knowledge: {model: surrogate}")
        if not self.evade and self.knowledge.model != "none":
            raise ValueError(f"knowledge: {{model: {self.knowledge.model}}} does nothing without evade: true")
        return self


class EvadingAttack(FakeUserAttack):
    """An attack with fake users that can choose fillers so as to look genuine.

    With ``evade``, the attack first makes its profiles as usual. ``Evasion`` then exchanges fillers. It lowers the
    suspicion of each fake user to that of the median user or below, if it can, and keeps the loss of the attack low. If
    the victim's defence computes no suspicion, the profiles do not change.
    """

    Config: ClassVar[type[BaseConfig]] = EvadingConfig
    config: EvadingConfig
    evasion_rounds: ClassVar[int] = 1

    @abstractmethod
    def judge(self, train: Interactions, targets: IntArray, n_users: int, rng: Rng) -> Judge:
        """Returns the function that rates the fillers of fake users.

        Args:
            train: the training items of the users that the attack sees.
            targets: the targets, int64 [T].
            n_users: the number of fake users.
            rng: the random stream of the attack.
        """

    def craft(self, view: AttackerView, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng) -> Profiles:
        """Returns the profiles of the fake users.

        If ``evade`` is set, ``Evasion`` has exchanged fillers, so that the victim's defence suspects the profiles less.
        """
        plain = self.profiles(view.train, targets=targets, n_users=n_users, profile_size=profile_size, rng=rng)
        if not self.config.evade or view.pipeline is None:
            return plain
        own = rng.child("evade")

        def arrange(fillers: Fillers) -> Profiles:
            return self.arranged(targets, fillers, view.train, own.child("order").numpy())

        judge = self.judge(view.train, targets, len(plain.rows), rng)
        evasion = Evasion(view.pipeline, view.train, targets, arrange, judge, own.child("search").numpy())
        profiles = evasion.search(fillers_of(plain.rows, targets), self.evasion_rounds)
        return plain if profiles is None else Profiles(profiles.rows, {**plain.costs, **profiles.costs})
