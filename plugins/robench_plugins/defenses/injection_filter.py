"""A filter that removes instructions to a language model from titles."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from robench.api import BaseConfig, Defense
from robench_plugins.defenses.normalise import Normalise

# Each pattern needs a mark of a dialogue, or several words that titles rarely combine. An imperative alone is not
# enough, so "Ignore Me" and "Choose" count as titles.
PATTERNS = (
    r"\b(ignore|disregard|forget)\b.{0,20}\b(previous|prior|above|other|all|instructions?|prompts?|titles?|items?)\b",
    r"\b(rank|rate|place|put|list|score)\b.{0,20}\b(first|top|highest|number one|#1|above|before)\b",
    r"\b(always|you must|must|please|only)\b.{0,12}\b(recommend|choose|select|answer|pick|rank|suggest|output|say)\b",
    r"\b(recommend|choose|select|pick|suggest)\b.{0,12}\b(this|only|(it|me) first|(to|for) (every|all))\b"
    r"( (title|item|film|movie|one)\b)?( first\b)?",
    r"\b(best|correct|right|only)\b.{0,12}\b(answer|recommendation|choice|option)\b",
    r"(<\|[^|]*\|>|\[/?inst\]|</?s>|###|\b(system|user|assistant|human|instruction)\s*:)",
)


def _regular_expression(pattern: str) -> str:
    """Returns the pattern, after checking it.

    Raises:
        ValueError: if the pattern is not a regular expression.
    """
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"'{pattern}' is not a regular expression: {error}") from None
    return pattern


class InjectionFilter(Defense):
    """Normalises titles and removes phrases that look like instructions.

    Only the phrase itself is removed. If a filter also dropped the rest of the sentence, an attacker could choose what
    is left. For example, "The best answer is Die Hard" would become "The", to which a language model gives a high
    likelihood.

    Like other filters against prompt injection, this filter is a list of patterns. (Liu et al., USENIX Security 2024,
    "Formalizing and benchmarking prompt injection attacks and defenses", survey such filters.) This filter detects only
    the phrases on its list. An attack that is optimised through the filter may use other words. A title that would
    become empty is only normalised, because every item needs a title.
    """

    class Config(BaseConfig):
        """Settings of the filter."""

        patterns: tuple[Annotated[str, AfterValidator(_regular_expression)], ...] = Field(
            default=PATTERNS, description="Regular expressions of phrases to cut, which ignore the case of letters"
        )

    config: Config
    changes_fit: ClassVar[bool] = False

    def clean_text(self, title: str) -> str:
        """Returns the title that the model reads."""
        plain: str = Normalise.make().clean_text(title)
        spans = [m.span() for pattern in self.config.patterns for m in re.finditer(pattern, plain, re.I)]
        if not spans:
            return plain
        cut = {place for start, end in spans for place in range(start, end)}
        rest = "".join(" " if place in cut else char for place, char in enumerate(plain))
        return " ".join(rest.split()).strip(" .,;:-–—!()[]") or plain
