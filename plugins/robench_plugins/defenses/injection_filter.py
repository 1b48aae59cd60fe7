"""injection-filter: instructions to a language model are cut out of titles."""

from __future__ import annotations

import re

from pydantic import Field

from robench.api import BaseConfig, Defense
from robench_plugins.defenses.normalise import Normalise

# What an instruction in a title looks like; each pattern must hold a verb of command or a mark of a dialogue with an
# object that titles do not command, so that "Ignore Me" or "Choose" alone are titles.
PATTERNS = (
    r"\b(ignore|disregard|forget)\b.{0,20}\b(previous|prior|above|other|all|instructions?|prompts?|titles?|items?)\b",
    r"\b(rank|rate|place|put|list|score)\b.{0,20}\b(first|top|highest|number one|#1|above|before)\b",
    r"\b(always|you must|must|please|only)\b.{0,12}\b(recommend|choose|select|answer|pick|rank|suggest|output|say)\b",
    r"\b(recommend|choose|select|pick|suggest)\b.{0,12}\b(this|only|(it|me) first|to (every|all)|for (every|all))\b",
    r"\b(best|correct|right|only)\b.{0,12}\b(answer|recommendation|choice|option)\b",
    r"(<\|[^|]*\|>|\[/?inst\]|</?s>|###|\b(system|user|assistant|human|instruction)\s*:)",
)


class InjectionFilter(Defense):
    """A title is read without the sentences that look like instructions; what is cleaned first is ``normalise``'s.

    A list of patterns, as filters against prompt injection are (Liu et al., "Formalizing and benchmarking prompt
    injection attacks and defenses", USENIX Security 2024, survey them): it knows what it was told, and an attack that
    is optimised through it may find other words. A title that would vanish is left as it is, as an item needs one.
    """

    class Config(BaseConfig):
        """Settings."""

        patterns: tuple[str, ...] = Field(default=PATTERNS, description="regular expressions, letter case ignored")

    config: Config

    def clean_text(self, title: str) -> str:
        """The title as it is read."""
        plain: str = Normalise.make().clean_text(title)
        found = [match for pattern in self.config.patterns for match in [re.search(pattern, plain, re.I)] if match]
        if not found:
            return plain
        first, last = min(match.start() for match in found), max(match.end() for match in found)
        sentence_end = re.compile(r"[.!?]|$").search(plain, last)
        behind = plain[sentence_end.end() :] if sentence_end else ""
        return " ".join(f"{plain[:first]} {behind}".split()).strip(" .,;:-–—!()[]") or plain
