"""The base class of the built-in attacks with fake users."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from robench.api import BaseConfig, IntArray, Interactions, PoisoningAttack, PoisoningConfig, Profiles
from robench.api.component import LATER

PlaceOfTargets = Literal["random", "last", "behind"]


def _degrade(value: Any) -> Any:
    """Returns ``untargeted`` for ``degrade``, and any other value as given."""
    return "untargeted" if value == "degrade" else value


class FakeUserConfig(PoisoningConfig):
    """The settings that all built-in attacks with fake users share."""

    goal: Annotated[Literal["promote", "demote", "untargeted"], BeforeValidator(_degrade)] = Field(
        default="promote",
        description="Push targets up, push targets down, or push the held-out items of real users down (untargeted)",
        json_schema_extra=LATER,
    )
    place_targets: PlaceOfTargets = Field(
        default="random",
        description="Places of the targets in a profile: anywhere, at the end, or each behind a popular item",
        json_schema_extra=LATER,
    )


class FakeUserAttack(PoisoningAttack):
    """The base class of attacks with fake users, which places targets in profiles."""

    Config: ClassVar[type[BaseConfig]] = FakeUserConfig
    config: FakeUserConfig

    def count_fillers(self, targets: IntArray, profile_size: int) -> int:
        """Returns the number of items of a profile that are not targets.

        Only an attack that promotes puts targets into profiles.
        """
        held = len(targets) if self.config.goal == "promote" else 0
        return max(profile_size - held, 0)

    def arranged(
        self, targets: IntArray, fillers: list[IntArray], train: Interactions, generator: np.random.Generator
    ) -> Profiles:
        """Returns one profile per row of fillers, with the fillers in random order.

        The setting ``place_targets`` decides where the targets stand.

        Args:
            targets: the targets, int64 [T]. They are left out unless the attack promotes.
            fillers: the other items of each profile, int64 arrays.
            train: the interactions that the attack sees. Their counts decide which fillers are popular.
            generator: the source of the order.
        """
        held = targets if self.config.goal == "promote" else targets[:0]
        if self.config.place_targets == "random":
            return Profiles.of([generator.permutation(np.concatenate([held, row])) for row in fillers])
        shuffled = [generator.permutation(row) for row in fillers]
        return self.placed(held, shuffled, train, generator)

    def placed(
        self, held: IntArray, fillers: list[IntArray], train: Interactions, generator: np.random.Generator
    ) -> Profiles:
        """Returns one profile per row of fillers. The fillers keep their order.

        The setting ``place_targets`` decides where the targets are: at random places (``random``), at the end
        (``last``), or directly after popular fillers (``behind``). With ``behind``, each target follows one of the
        profile's T most popular fillers. Targets beyond the number of fillers are at the end. Most users have
        popular items, so a sequence model learns that a target follows them.

        Args:
            held: the targets that every profile holds, int64 [T].
            fillers: the other items of each profile, in order.
            train: the interactions that the attack sees.
            generator: the source of the places.
        """
        counts, rows = train.counts(), []
        for row in fillers:
            if self.config.place_targets == "random":
                places = generator.integers(0, len(row) + 1, len(held))
            elif self.config.place_targets == "behind":
                leaders = np.argsort(-counts[row], kind="stable")[: len(held)]
                places = np.full(len(held), len(row), dtype=np.int64)
                places[: len(leaders)] = generator.permutation(leaders) + 1
            else:
                places = np.full(len(held), len(row), dtype=np.int64)
            rows.append(np.insert(row, places, generator.permutation(held)))
        return Profiles.of(rows)
