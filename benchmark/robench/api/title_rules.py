"""The rules for edits of titles, which are a part of the threat model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

Unit = Literal["words", "characters"]
PATTERN = r"(?P<unit>words|characters)(-stealth-(?P<stealth>0\.\d+))?"
FLOOR = 0.8  # the floor of the similarity that ``stealth: true`` means
SHARE = 0.2  # the largest share of a title's words that may change
NATS = 1.0  # the largest fall of a title's mean log-likelihood per token, in nats


@dataclass(frozen=True)
class TitleRules:
    """The rules that edits of a title must obey, in addition to the budget.

    Args:
        unit: the unit of ε, words or characters.
        stealth: the floor of the similarity of the old and the new title, between 0 and 1. With a floor, a new title
            must also be about as likely as the old one, keep most of its words, and be no other item's title. None
            means that only the budget counts.
    """

    unit: Unit = "words"
    stealth: float | None = None

    @property
    def norm(self) -> str:
        """The norm of the threat model, such as ``words-stealth-0.8``."""
        return self.unit if self.stealth is None else f"{self.unit}-stealth-{self.stealth}"

    @classmethod
    def of(cls, norm: str) -> TitleRules | None:
        """Returns the rules that a norm states.

        The result is None if the norm does not count edits of titles.
        """
        parts = re.fullmatch(PATTERN, norm)
        if parts is None:
            return None
        stealth = None if parts["stealth"] is None else float(parts["stealth"])
        return cls(cast("Unit", parts["unit"]), stealth)
