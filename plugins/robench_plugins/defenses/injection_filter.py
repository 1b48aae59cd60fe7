"""injection-filter: instructions to a language model are cut out of titles."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from robench.api import BaseConfig, Defense
from robench_plugins.defenses.normalise import Normalise

# What an instruction in a title looks like; each pattern must hold a verb of command or a mark of a dialogue with an
# object that titles do not command, so that "Ignore Me" or "Choose" alone are titles.
PATTERNS = (
    r"\b(ignore|disregard|forget)\b.{0,20}\b(previous|prior|above|other|all|instructions?|prompts?|titles?|items?)\b",
    r"\b(rank|rate|place|put|list|score)\b.{0,20}\b(first|top|highest|number one|#1|above|before)\b",
    r"\b(always|you must|must|please|only)\b.{0,12}\b(recommend|choose|select|answer|pick|rank|suggest|output|say)\b",
    r"\b(recommend|choose|select|pick|suggest)\b.{0,12}\b(this|only|(it|me) first|(to|for) (every|all))\b"
    r"( (title|item|film|movie|one)\b)?( first\b)?",
    r"\b(best|correct|right|only)\b.{0,12}\b(answer|recommendation|choice|option)\b",
    r"(<\|[^|]*\|>|\[/?inst\]|</?s>|###|\b(system|user|assistant|human|instruction)\s*:)",
)


def _expression(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"'{pattern}' is no regular expression: {error}") from None
    return pattern


class InjectionFilter(Defense):
    """Phrases that look like instructions are cut out of a title, which ``normalise`` has read before.

    Nothing but the phrase goes: a filter that drops the rest of a sentence with it lets an attacker choose what is
    left. "The best answer is Die Hard" would become "The", which a language model finds likely.

    A list of patterns, as filters against prompt injection are (Liu et al., "Formalizing and benchmarking prompt
    injection attacks and defenses", USENIX Security 2024, survey them): it knows what it was told, and an attack that
    is optimised through it may find other words. A title that would vanish is left as it is, as an item needs one.
    """

    class Config(BaseConfig):
        """Settings."""

        patterns: tuple[Annotated[str, AfterValidator(_expression)], ...] = Field(
            default=PATTERNS, description="regular expressions, letter case ignored"
        )

    config: Config

    def clean_text(self, title: str) -> str:
        """The title as it is read."""
        plain: str = Normalise.make().clean_text(title)
        spans = [m.span() for pattern in self.config.patterns for m in re.finditer(pattern, plain, re.I)]
        if not spans:
            return plain
        cut = {place for start, end in spans for place in range(start, end)}
        rest = "".join(" " if place in cut else char for place, char in enumerate(plain))
        return " ".join(rest.split()).strip(" .,;:-–—!()[]") or plain
