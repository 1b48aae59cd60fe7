"""The base class of attacks on titles, their oracle, and the counting of edits.

These attacks rewrite titles in the catalogue, and all users see the new titles. No model is retrained.
"""

from __future__ import annotations

import unicodedata
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from pydantic import Field, field_validator
from rapidfuzz.distance import Levenshtein

from robench.api.attacks.base import Attack
from robench.api.component import LATER, BaseConfig
from robench.api.data import Catalogue, IntArray, Item
from robench.api.rng import Rng
from robench.api.surfaces import Surface
from robench.api.threat import Stage, Threat, share_in_edits
from robench.api.title_rules import FLOOR, TitleRules, Unit

if TYPE_CHECKING:
    from torch import Tensor

LONGEST = 20  # the largest number of characters that count as one word, so that a paragraph never counts as one word


def item_text(item: Item) -> str:
    """Returns the text that describes an item.

    For example: ``Heat (1995). Action, Crime. A duel.``
    """
    year = "" if item.year is None else f" ({item.year})"
    parts = [f"{item.title}{year}", ", ".join(item.genres), item.description]
    return ". ".join(part for part in parts if part)


def pieces(title: str, unit: Unit) -> list[str]:
    """Splits a title into words or characters, the units in which edits are counted.

    A word of more than 20 characters is split into several pieces. Every piece except the first begins with a space,
    and therefore differs from every whole word.
    """
    if unit == "characters":
        return list(title)
    parts = [(word, at) for word in title.split() for at in range(0, len(word), LONGEST)]
    return [" " * (at > 0) + word[at : at + LONGEST] for word, at in parts]


def edits_between(old: str, new: str, unit: Unit) -> int:
    """Returns the Levenshtein (1966) distance of two titles, in words or characters."""
    return int(Levenshtein.distance(pieces(old, unit), pieces(new, unit)))


def edits_allowed(title: str, epsilon: float, unit: Unit) -> int:
    """Returns the number of edits that a title may have.

    The number is ⌊ε · length⌋, with the length in words or characters, but at least 1 if ε > 0. For an empty title, the
    number is 0.
    """
    length = len(pieces(title, unit))
    return share_in_edits(epsilon, length) if length else 0


def printable(title: str) -> bool:
    """Returns whether a title has no control characters, line breaks or surrogates."""
    return not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in title)


@dataclass(frozen=True, eq=False)
class TokenSlopes:
    """The slopes of the loss with respect to the tokens of A titles.

    L is the largest number of tokens in a title's text, and V is the number of different tokens. All tensors are on the
    CPU. Only a model that scores an item by the likelihood of the item's title has ``choice``, ``worth`` and ``tails``.

    Args:
        titles: the titles that the model reads, after the defence has cleaned them.
        ids: the tokens of every item's text, int64 [A, L].
        word: the index of the word to which each token belongs, int64 [A, L]. Titles are split into words at spaces.
            The index is −1 for a token outside the title's words.
        gradient: the gradient of each item's own loss with respect to its tokens' vectors, float [A, L, d]. The
            gradient is 0 at padding.
        table: the vectors of all tokens, float [V, d].
        words: the word for each token that is a whole word.
        choice: the slope of each item's own loss with respect to the weight of a token at a place, float [A, L, V]. If
            token b replaces token a, the loss also changes by the entry of b minus the entry of a. This change is exact
            to first order in the item's score.
        worth: the slope of each item's own loss with respect to the item's score, float [A].
        spelled: the tokens of each word in the catalogue's titles. Each word is tokenised as the second word of a text.
        tails: for each entry of ``spelled``, what the tokens after the first add to the likelihood of a title, float
            [number of entries], in nats. The value is 0 for a single token.
        length_normalised: whether the score depends on the mean over the title's tokens, and not on their sum.
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
    length_normalised: bool = True


@dataclass(frozen=True, eq=False)
class Exposure:
    """The host's answer to a query that proposes titles for A items.

    If the attack is untargeted, both values are the same for every item.

    Args:
        loss: the loss of each item, float64 [A]. A higher loss is better for the attacker.
        reached: the share of users for which the attack reaches its goal, float64 [A]. Under the goal ``promote``, the
            item must enter the top k, and the share is taken over users without the item. If the attack is untargeted,
            no held-out item may be in the top k.
    """

    loss: Tensor
    reached: Tensor


class TextOracle(Protocol):
    """The interface through which an attack on titles queries one victim.

    Every evaluation is counted. The host owns the loss. Under the goal ``promote``, each item has its own loss: the log
    softmax of its score, averaged over the users without the item. If the attack is untargeted, the loss is −log
    softmax of the held-out items, averaged over all users. The softmax runs over the unmasked catalogue. Items hardly
    influence each other, so one query may change all titles.
    """

    @property
    def items(self) -> IntArray:
        """The catalogue rows of the items that may get new titles: int64 [A]."""
        ...

    @property
    def catalogue(self) -> Catalogue:
        """All items with their genuine titles, which any attacker can read."""
        ...

    @property
    def counts(self) -> IntArray:
        """The number of interactions per item at test time, without held-out items.

        The array is int64 [n_items].

        Shops often publish such numbers, so an attacker may know them.
        """
        ...

    @property
    def unit(self) -> Unit:
        """The unit in which edits are counted."""
        ...

    def titles(self) -> list[str]:
        """Returns the genuine titles of ``items``."""
        ...

    def budget(self) -> list[int]:
        """Returns the maximum number of edits per title.

        The host counts edits as the Levenshtein distance to the genuine title.
        """
        ...

    def passes(self, candidates: Sequence[tuple[int, str]]) -> list[bool]:
        """Returns which titles the host would accept, without a query to the victim.

        The host replaces any other title with the genuine one. A title must be within the budget and printable. It must
        also obey the rules for titles if the threat model has such rules. Ask about many titles at once, because a
        language model may read them.

        Args:
            candidates: the titles. Each title has the index of its item in ``items``.
        """
        ...

    def evaluate(self, titles: Sequence[str]) -> Exposure:
        """Returns the loss and the outcome at these titles of ``items``."""
        ...

    def slopes(self, titles: Sequence[str]) -> TokenSlopes | None:
        """Returns the slopes at these titles, or None if the model offers no slopes."""
        ...


class StealthConfig(BaseConfig):
    """The setting that determines the rules for edits of titles.

    These rules are part of the threat model.
    """

    stealth: float | None = Field(
        default=None,
        ge=0.001,
        le=0.999,
        description="Least similarity of old and new titles, which also turns on all rules for titles; true is 0.8",
        json_schema_extra=LATER,
    )

    @field_validator("stealth", mode="before")
    @classmethod
    def _with_floor(cls, given: object) -> object:
        """Replaces true with the default floor, and false with None."""
        return given if not isinstance(given, bool) else FLOOR if given else None


class TextConfig(StealthConfig):
    """The settings that all attacks on titles share."""

    unit: Unit = Field(
        default="words", description="Unit of ε: a fraction of the title's words or characters (at least one edit)"
    )
    goal: Literal["promote", "untargeted"] = Field(
        default="promote", description="Push promoted items into the top k, or held-out items out of it"
    )
    k: int = Field(default=10, ge=1, description="Length of the list that the goal refers to, in items")


class TextAttack(Attack):
    """An attack that rewrites titles at test time.

    Under the goal ``promote``, the attack rewrites the titles of the promoted items. An untargeted attack may rewrite
    all titles.
    """

    Config: ClassVar[type[BaseConfig]] = TextConfig
    surface: ClassVar[Surface] = "text"
    stage: ClassVar[Stage] = "test"

    def threat(self) -> Threat:
        """Returns the threat model, in which ε is a share of the title's length."""
        c = self.config
        return Threat("text", "test", TitleRules(c.unit, c.stealth).norm, "relative", c.goal, c.k)

    @abstractmethod
    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        """Yields candidates, one title per item of the oracle.

        If a title is over budget, is not printable or has no edits, the host uses the genuine title instead. The host
        scores each candidate and keeps the one that does the most damage. Under the goal ``promote``, the combination
        of each item's best title is also a candidate.
        """
