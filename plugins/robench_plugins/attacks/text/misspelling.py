"""Draws typos and inserts them into titles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from string import ascii_lowercase
from typing import TYPE_CHECKING, Literal, NamedTuple

from robench.api.attacks.text import edits_between

if TYPE_CHECKING:
    import numpy as np

TypoKind = Literal["swap", "drop", "insert", "replace", "homoglyph", "zero-width"]
TYPO_KINDS: tuple[TypoKind, ...] = ("swap", "drop", "insert", "replace", "homoglyph", "zero-width")
# Cyrillic and Greek letters that most fonts draw like the Latin ones, by code point.
LATIN = "aceiopsxyjABCEHIKMOPSTXYZ"
LOOK_ALIKE = (
    "\u0430\u0441\u0435\u0456\u043e\u0440\u0455\u0445\u0443\u0458"
    "\u0410\u0412\u0421\u0415\u041d\u0406\u041a\u041c\u041e\u0420\u0405\u0422\u0425\u03a5\u0396"
)
HOMOGLYPHS = dict(zip(LATIN, LOOK_ALIKE, strict=True))
INVISIBLE = "\u200b"  # a zero-width space


class Typo(NamedTuple):
    """One typo in a title.

    Args:
        word: the index of the word after a split of the title at single spaces.
        kind: the kind of the typo.
        share: the position of the typo among all possible typos of this kind in the word, as a share in [0, 1).
    """

    word: int
    kind: TypoKind
    share: float


def random_typos(title: str, count: int, kinds: Sequence[TypoKind], generator: np.random.Generator) -> tuple[Typo, ...]:
    """Returns typos that are uniform in word, kind and position.

    Args:
        title: the genuine title. A title without words has no typos.
        count: the number of typos.
        kinds: the kinds to choose from.
        generator: the source of the draws.
    """
    words = [index for index, word in enumerate(title.split(" ")) if word]
    return tuple(
        Typo(
            words[int(generator.integers(len(words)))],
            kinds[int(generator.integers(len(kinds)))],
            float(generator.random()),
        )
        for _ in range(count if words else 0)
    )


def with_typos(title: str, typos: Sequence[Typo], budget: int) -> str:
    """Returns the title with these typos, except those that exceed the budget.

    Args:
        title: the genuine title.
        typos: the typos, in order.
        budget: the number of edits, in characters.
    """
    words = title.split(" ")
    for word, kind, share in typos:
        changed = [*words[:word], misspell(words[word], kind, share), *words[word + 1 :]]
        words = changed if edits_between(title, " ".join(changed), "characters") <= budget else words
    return " ".join(words)


def misspell(word: str, kind: TypoKind, share: float) -> str:
    """Returns the word with one typo, or unchanged if no such typo is possible.

    Args:
        word: any word.
        kind: the kind of the typo.
        share: the position of the typo among all possible typos of this kind in the word, as a share in [0, 1).
    """
    misspellings = list(_misspellings(word, kind))
    return misspellings[int(share * len(misspellings))] if misspellings else word


def _misspellings(word: str, kind: TypoKind) -> Iterator[str]:
    """Yields the misspellings of the word with one typo of this kind.

    Nothing is inserted before the first character, and no word becomes empty.
    """
    for position, char in enumerate(word):
        before, after = word[:position], word[position + 1 :]
        if kind == "swap" and after and char != after[0]:
            yield f"{before}{after[0]}{char}{after[1:]}"
        elif kind == "drop" and len(word) > 1:
            yield before + after
        elif kind == "insert":
            yield from (before + char + new + after for new in ascii_lowercase)
        elif kind == "replace":
            yield from (before + new + after for new in ascii_lowercase if new != char)
        elif kind == "homoglyph" and char in HOMOGLYPHS:
            yield before + HOMOGLYPHS[char] + after
        elif kind == "zero-width" and position:
            yield before + INVISIBLE + char + after
