"""Random edits of titles: the floor that every attack on texts must beat."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from robench.api import Rng, TextAttack, TextConfig, TextOracle
from robench.api.attacks.text import edits_between
from robench.api.title_rules import Unit
from robench_plugins.attacks.text.title_search import accepted_draws
from robench_plugins.attacks.text.vocabulary import vocabulary

if TYPE_CHECKING:
    import numpy as np


class RandomRewrite(TextAttack):
    """Takes the best of several random titles per item.

    Each title gets as many random edits as its budget allows. The edits are substitutions, insertions and deletions,
    uniform in kind and position. New words come from the titles of the catalogue, and new letters come from the
    alphabet. For a fair comparison, give this attack as many draws as the other attack has score evaluations.

    With ``stealth``, a title is drawn up to 20 times, with fewer edits each time, until the host accepts it.
    """

    class Config(TextConfig):
        """Settings of the random titles."""

        draws: int = Field(default=100, ge=1, description="Random titles per item")

    config: Config
    heuristic_floor: ClassVar[bool] = True

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        """Yields the titles of each draw, one per item.

        Apart from skipped edits, the edits under a smaller budget are the first edits under a larger budget.
        """
        unit = oracle.unit
        pool = vocabulary(oracle.catalogue) if unit == "words" else list(string.ascii_lowercase)
        budgets = list(zip(oracle.titles(), oracle.budget(), strict=True))
        draws = self.config.draws if any(budget for _, budget in budgets) else 0
        if self.config.stealth is not None:
            yield from self._accepted(oracle, rng, pool, draws)
            return
        for draw in range(draws):
            yield [
                randomly_edited(title, budget, unit, pool, rng.child("draw", draw, index).numpy())
                for index, (title, budget) in enumerate(budgets)
            ]

    @staticmethod
    def _accepted(oracle: TextOracle, rng: Rng, pool: Sequence[str], draws: int) -> Iterator[list[str]]:
        """Yields the accepted titles of each draw.

        Items without an accepted title keep the genuine title.
        """
        titles = oracle.titles()

        def draw(index: int, most: int, generator: np.random.Generator) -> str:
            return randomly_edited(titles[index], most, oracle.unit, pool, generator)

        for number in range(draws):
            if accepted := accepted_draws(oracle, rng.child("draw", number), draw, range(len(titles))):
                yield [accepted.get(index, title) for index, title in enumerate(titles)]


def randomly_edited(title: str, budget: int, unit: Unit, pool: Sequence[str], generator: np.random.Generator) -> str:
    """Returns the title after at most ``budget`` random edits.

    An edit that would exceed the budget is skipped. A very long word, for example, counts as several edits.

    Args:
        title: the genuine title.
        budget: the number of edits.
        unit: the unit of edits, words or characters.
        pool: the words or characters that may be inserted.
        generator: the source of the draws.
    """
    current = title
    for _ in range(budget):
        parts = current.split() if unit == "words" else list(current)
        kind, new = int(generator.integers(3)), pool[int(generator.integers(len(pool)))] if pool else ""
        insert = kind == 0 or not parts
        position = int(generator.integers(len(parts) + insert))
        parts[position : position + (not insert)] = [] if kind == 1 and not insert else [new]
        proposal = (" " if unit == "words" else "").join(parts)
        current = proposal if edits_between(title, proposal, unit) <= budget else current
    return current
