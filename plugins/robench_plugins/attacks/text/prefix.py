"""An attack that adds words to titles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from robench.api import Rng, TextAttack, TextConfig, TextOracle
from robench_plugins.attacks.text.title_search import TitleSearch, search_jointly
from robench_plugins.attacks.text.vocabulary import is_one_word

if TYPE_CHECKING:
    from numpy.random import Generator

PRAISE = ("award", "best", "bestseller", "classic", "exclusive", "favorite", "great", "masterpiece", "new", "popular")
PUNCTUATION = ",.:;!?()[]\"'&-"


class Prefix(TextAttack):
    """Adds words from a pool to a title, one by one.

    The attack chooses the best word each time, and puts this word before or after the title.

    This is keyword stuffing, guided by scores. Gyöngyi & Garcia-Molina (Web spam taxonomy, AIRWeb 2005) describe it as
    term spam in titles. The words of the genuine title stay. The pool holds the keywords, or words from the titles of
    the most used items. Shops often publish which items are used most. A word may be added twice.

    With the goal ``untargeted``, all items share one outcome. The attack then adds random words of the pool to all
    titles, and redraws about a quarter of the titles at a time. The number of evaluations is ``looks``.

    With ``stealth``, the pool of popular words goes on through the titles of all items, most used items first. Each
    title takes from it the first words with which the host accepts the title.
    """

    class Config(TextConfig):
        """Settings of the added words."""

        unit: Literal["words"] = "words"
        source: Literal["popular", "keywords"] = Field(
            default="popular",
            description="Words of the pool: those in the titles of the most used items, or the keywords",
        )
        place: Literal["front", "end"] = Field(
            default="front", description="Side of the title at which words are added"
        )
        keywords: tuple[str, ...] = Field(
            default=PRAISE, min_length=1, description="Words of the pool if source is keywords"
        )
        titles: int = Field(default=20, ge=1, description="Number of most used items that the pool takes words from")
        pool: int = Field(default=30, ge=1, description="Maximum number of words that are scored per added word")
        looks: int = Field(default=20, ge=1, description="Score evaluations of an untargeted attack")

    config: Config

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        """Yields the best titles so far, one per item, whenever they change."""
        c, genuine, budget = self.config, oracle.titles(), oracle.budget()
        pool = self.words(oracle)
        if not pool or not any(budget):
            return
        if c.goal == "untargeted":

            def draw(index: int, most: int, generator: Generator) -> str:
                title = genuine[index]
                for _ in range(most):
                    title = self._joined(pool[int(generator.integers(len(pool)))], title)
                return title

            yield from search_jointly(oracle, rng, draw, c.looks, rules=c.stealth is not None)
            return
        search = TitleSearch(oracle)
        for _ in range(max(budget)):
            if c.stealth is None:
                proposals = ([self._joined(word, title) for title in search.titles] for word in pool)
                yield from search.step(search.within_budget(titles) for titles in proposals)
            else:
                longer = [[self._joined(word, title) for word in pool] for title in search.titles]
                yield from search.step(search.side_by_side(longer, c.pool))

    def words(self, oracle: TextOracle) -> list[str]:
        """Returns the distinct words of the pool that cost one edit each.

        There are at most ``pool`` words. With ``stealth``, all words are returned, because ``pool`` then limits
        the words that the host accepts.
        """
        c = self.config
        most = c.pool if c.stealth is None else None
        words: dict[str, str] = {}
        if c.source == "keywords":
            texts: Sequence[str] = c.keywords
        else:
            order = np.argsort(-oracle.counts, kind="stable")[: c.titles if c.stealth is None else None]
            texts = [oracle.catalogue.items[row].title for row in order.tolist()]
        for word in (word.strip(PUNCTUATION) for text in texts for word in text.split()):
            if word and is_one_word(word):
                words.setdefault(word.casefold(), word)
        return list(words.values())[:most]

    def _joined(self, word: str, title: str) -> str:
        """Returns the title with the word on the configured side."""
        return f"{word} {title}" if self.config.place == "front" else f"{title} {word}"
