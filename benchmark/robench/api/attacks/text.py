"""Attacks on the surface ``text``: titles of items are rewritten, and nothing is trained again.

One rewriting serves all users, as a catalogue does.
"""

from __future__ import annotations

import unicodedata
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from pydantic import Field
from rapidfuzz.distance import Levenshtein

from robench.api.attacks.base import Attack
from robench.api.component import BaseConfig
from robench.api.data import Catalogue, IntArray, Item
from robench.api.rng import Rng
from robench.api.threat import Stage, Surface, Threat, share_in_edits

if TYPE_CHECKING:
    from torch import Tensor

Unit = Literal["words", "characters"]
LONGEST = 20  # characters that count as one word at most, so that no word hides a paragraph


def item_text(item: Item) -> str:
    """What a model reads of an item: ``Heat (1995). Action, Crime. What it is about``; the title stands first."""
    year = "" if item.year is None else f" ({item.year})"
    parts = [f"{item.title}{year}", ", ".join(item.genres), item.description]
    return ". ".join(part for part in parts if part)


def pieces(title: str, unit: Unit) -> list[str]:
    """The characters, or the words, a word of more than 20 characters in pieces of 20.

    A piece that goes on from another begins with a blank, so that a long word is not the same as two short ones.
    """
    if unit == "characters":
        return list(title)
    parts = [(word, at) for word in title.split() for at in range(0, len(word), LONGEST)]
    return [" " * (at > 0) + word[at : at + LONGEST] for word, at in parts]


def edits_between(old: str, new: str, unit: Unit) -> int:
    """Levenshtein distance in words or characters (Levenshtein 1966)."""
    return int(Levenshtein.distance(pieces(old, unit), pieces(new, unit)))


def edits_allowed(title: str, epsilon: float, unit: Unit) -> int:
    """⌊ε · length⌋, at least one where ε > 0 and the title has a word or character at all."""
    length = len(pieces(title, unit))
    return share_in_edits(epsilon, length) if length else 0


def printable(title: str) -> bool:
    """No control characters, no ends of lines and no halves of characters; invisible ones may stand there."""
    return not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in title)


@dataclass(frozen=True, eq=False)
class TokenSlopes:
    """The slope of the loss by the tokens that a model reads of some titles, all on the CPU.

    Args:
        titles: the titles as the model reads them (a defence may have cleaned them).
        ids: int64 [A, L] tokens of every item's text.
        word: int64 [A, L] which word of the title, split at blanks, a token is part of; −1 elsewhere.
        gradient: float [A, L, d] of the item's own loss by the token's vector; 0 at padding.
        table: float [V, d] the vectors of all tokens.
        words: tokens that stand for a whole word: id -> word.
        choice: float [A, L, V] of the item's own loss by the weight of a token in a place, where the model scores an
            item by the likelihood of its tokens: a flip of b for a does b's entry less a's besides, to first order in
            the item's score.
        worth: float [A], where there is a choice: the slope of the item's own loss by its score, which is the mean
            log-likelihood of the title's tokens.
        spelled: the words of the catalogue's titles -> their tokens, read behind another word.
        tails: float [number of ``spelled``], where there is a choice: the log-likelihood in nats of a word's tokens
            behind its first one, given that alone; 0 for a word of one token.
    """

    titles: Sequence[str]
    ids: Tensor
    word: Tensor
    gradient: Tensor
    table: Tensor
    words: Mapping[int, str]
    choice: Tensor | None = None
    worth: Tensor | None = None
    spelled: Mapping[str, Sequence[int]] = field(default_factory=dict)
    tails: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Exposure:
    """What the host says of some titles, per attacked item: ``loss`` float64 [A], higher is nearer to the goal;
    ``reached`` float64 [A], the share of users (without the item) who get it within the top k, or, untargeted, the
    share of users without a held-out item there: the same for every item.
    """

    loss: Tensor
    reached: Tensor


class TextOracle(Protocol):
    """One victim, as an attack on titles may query it. Every evaluation is counted.

    The host owns the loss. To promote, it is per item the mean over users, who do not have it, of its log softmax over
    the unmasked catalogue; untargeted, the mean over users of −log softmax of the held-out items, the same for every
    item. Items influence each other little, so a query may change the titles of all of them.
    """

    @property
    def items(self) -> IntArray:
        """Whose titles may be rewritten: int64 [A] rows of the catalogue."""
        ...

    @property
    def catalogue(self) -> Catalogue:
        """All items with their genuine titles; an attacker can read a catalogue."""
        ...

    @property
    def counts(self) -> IntArray:
        """How often every item of the catalogue is used: int64 [n_items]; shops show such numbers."""
        ...

    @property
    def unit(self) -> Unit:
        """What an edit is."""
        ...

    def titles(self) -> list[str]:
        """The genuine titles of ``items``."""
        ...

    def budget(self) -> list[int]:
        """Edits that every title may have. The host takes the Levenshtein distance to the genuine one."""
        ...

    def evaluate(self, titles: Sequence[str]) -> Exposure:
        """Loss and outcome with these titles of ``items``."""
        ...

    def slopes(self, titles: Sequence[str]) -> TokenSlopes | None:
        """Slopes at these titles; None where the model offers no gradient by its tokens."""
        ...


class TextConfig(BaseConfig):
    """Settings of every attack on titles."""

    unit: Unit = Field(
        default="words", description="Unit of ε: a fraction of the title's words or characters (at least one edit)"
    )
    goal: Literal["promote", "untargeted"] = Field(
        default="promote", description="Push promoted items into the top k, or held-out items out of it"
    )
    k: int = Field(default=10, ge=1, description="Length of the list that the goal refers to, in items")


class TextAttack(Attack):
    """Rewrites titles within a number of edits; to promote, those of the promoted items, else those of all items."""

    Config: ClassVar[type[BaseConfig]] = TextConfig
    surface: ClassVar[Surface] = "text"
    stage: ClassVar[Stage] = "test"

    def threat(self) -> Threat:
        """Text, at test time; ε is a share of the title's length."""
        c = self.config
        return Threat("text", "test", c.unit, "relative", c.goal, c.k)

    @abstractmethod
    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        """Candidates, a title per item each. The host puts the genuine title where one is over budget, not printable
        or without an edit (other blanks between the same words), re-scores, and keeps the best of every item, or the
        best rewriting of all where it is untargeted.
        """
