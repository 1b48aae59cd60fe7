"""Random edits of titles: the floor that every attack on texts must beat."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from robench.api import Rng, TextAttack, TextConfig, TextOracle
from robench.api.attacks.text import Unit, edits_between
from robench_plugins.attacks.text.climb import vocabulary

if TYPE_CHECKING:
    import numpy as np


class RandomRewrite(TextAttack):
    """The best of ``draws`` rewritten titles per item, each with its whole budget spent on substitutions, insertions
    and deletions that are uniform in kind and place; words come from the catalogue's titles, letters from the alphabet.

    Give it as many draws as the attack that it is compared with has score evaluations.
    """

    class Config(TextConfig):
        """Settings."""

        draws: int = Field(default=100, ge=1)

    config: Config
    heuristic_floor: ClassVar[bool] = True

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        """The draws; a smaller budget's edits are the first ones of a larger one's."""
        unit = oracle.unit
        pool = vocabulary(oracle.catalogue) if unit == "words" else list(string.ascii_lowercase)
        titled = list(zip(oracle.titles(), oracle.budget(), strict=True))
        for draw in range(self.config.draws if any(limit for _, limit in titled) else 0):
            yield [
                scrambled(title, limit, unit, pool, rng.child("draw", draw, at).numpy())
                for at, (title, limit) in enumerate(titled)
            ]


def scrambled(title: str, limit: int, unit: Unit, pool: Sequence[str], generator: np.random.Generator) -> str:
    """``title`` after ``limit`` random edits; one that would cost more than there is, as a very long word may, is left
    out.
    """
    now = title
    for _ in range(limit):
        parts = now.split() if unit == "words" else list(now)
        kind, new = int(generator.integers(3)), pool[int(generator.integers(len(pool)))] if pool else ""
        insert = kind == 0 or not parts
        place = int(generator.integers(len(parts) + insert))
        parts[place : place + (not insert)] = [] if kind == 1 and not insert else [new]
        edited = (" " if unit == "words" else "").join(parts)
        now = edited if edits_between(title, edited, unit) <= limit else now
    return now
