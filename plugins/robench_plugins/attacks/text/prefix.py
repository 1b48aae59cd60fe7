"""Titles stuffed with words that sell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from robench.api import Rng, TextAttack, TextConfig, TextOracle
from robench_plugins.attacks.text.climb import Climb, single, together

if TYPE_CHECKING:
    from numpy.random import Generator

PRAISE = ("award", "best", "bestseller", "classic", "exclusive", "favorite", "great", "masterpiece", "new", "popular")
MARKS = ",.:;!?()[]\"'&-"


class Prefix(TextAttack):
    """Words are put in front of a title, or behind it, one after another: all of a pool are scored, the best is kept.

    Keyword stuffing, the term spam in titles of Gyöngyi & Garcia-Molina (Web spam taxonomy, AIRWeb 2005), led by
    scores. The genuine title stays whole. The pool is the words of the ``titles`` most used items, most used first
    (which anybody can read), or a list of ``keywords``; a word may come in twice.

    Untargeted, no item has a loss of its own: random words of the pool for all titles, a quarter of them drawn anew at
    a time, in ``looks`` evaluations.
    """

    class Config(TextConfig):
        """Settings."""

        unit: Literal["words"] = "words"
        source: Literal["popular", "keywords"] = "popular"
        place: Literal["front", "end"] = "front"
        keywords: tuple[str, ...] = Field(default=PRAISE, min_length=1, description="words for source: keywords")
        titles: int = Field(default=20, ge=1, description="most used items whose words are taken")
        pool: int = Field(default=30, ge=1, description="words at most that are tried per added word")
        looks: int = Field(default=20, ge=1, description="evaluations where it is untargeted")

    config: Config

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        """The best titles after each added word."""
        c, genuine, limit = self.config, oracle.titles(), oracle.budget()
        pool = self.words(oracle)
        if not pool or not any(limit):
            return
        if c.goal == "untargeted":

            def draw(at: int, generator: Generator) -> str:
                title = genuine[at]
                for _ in range(limit[at]):
                    title = self._joined(pool[int(generator.integers(len(pool)))], title)
                return title

            yield from together(oracle, rng, draw, c.looks)
            return
        climb = Climb(oracle)
        for _ in range(max(limit)):
            proposals = ([self._joined(word, title) for title in climb.titles] for word in pool)
            yield from climb.step(climb.lawful(titles) for titles in proposals)

    def words(self, oracle: TextOracle) -> list[str]:
        """The pool; none of its words counts as two."""
        c = self.config
        found: dict[str, str] = {}
        if c.source == "keywords":
            texts: Sequence[str] = c.keywords
        else:
            order = np.argsort(-oracle.counts, kind="stable")[: c.titles]
            texts = [oracle.catalogue.items[row].title for row in order.tolist()]
        for word in (word.strip(MARKS) for text in texts for word in text.split()):
            if word and single(word):
                found.setdefault(word.casefold(), word)
        return list(found.values())[: c.pool]

    def _joined(self, word: str, title: str) -> str:
        return f"{word} {title}" if self.config.place == "front" else f"{title} {word}"
