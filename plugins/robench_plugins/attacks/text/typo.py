"""Misspelt titles: letters swapped, dropped, mistyped, replaced by others that look the same, or parted by nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from string import ascii_lowercase
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from robench.api import Rng, TextAttack, TextConfig, TextOracle
from robench.api.attacks.text import edits_between
from robench_plugins.attacks.text.climb import Climb, together

if TYPE_CHECKING:
    import numpy as np

Typo = Literal["swap", "drop", "insert", "replace", "homoglyph", "zero-width"]
KINDS: tuple[Typo, ...] = ("swap", "drop", "insert", "replace", "homoglyph", "zero-width")
# Cyrillic and Greek letters that most fonts draw like the Latin ones, by code point.
LATIN = "aceiopsxyjABCEHIKMOPSTXYZ"
ALIKE = (
    "\u0430\u0441\u0435\u0456\u043e\u0440\u0455\u0445\u0443\u0458"
    "\u0410\u0412\u0421\u0415\u041d\u0406\u041a\u041c\u041e\u0420\u0405\u0422\u0425\u03a5\u0396"
)
HOMOGLYPHS = dict(zip(LATIN, ALIKE, strict=True))
INVISIBLE = "\u200b"  # zero width space
STAY = 0.9  # chance of a typo to stay in a round
MOST = 8  # new typos per look
Slip = tuple[int, Typo, float]  # in which word, of what kind, and at what share of the places
Spelling = tuple[Slip, ...]


def _distinct(kinds: tuple[Typo, ...]) -> tuple[Typo, ...]:
    if not kinds or len(set(kinds)) < len(kinds):
        raise ValueError("name each kind of typo once, and at least one")
    return kinds


class TypoAttack(TextAttack):
    """``draws`` titles with a few random typos, then ``rounds`` in which most of the best title's stay and others come
    in; every title is scored.

    ``swap`` (two adjacent letters; 2 edits), ``drop``, ``insert`` and ``replace`` (a random letter) are the
    transformations of DeepWordBug (Gao et al., IEEE Security and Privacy Workshops 2018); ``homoglyph`` and
    ``zero-width`` are of Boucher et al. (IEEE S&P 2022). The search is ours: DeepWordBug and TextBugger (Li et al.,
    NDSS 2019) choose the words that matter first and misspell them one by one, where a title often finds no way up that
    several typos at once do find. There is no limit on the similarity of sentences, and the titles of all items
    are scored in the same looks. A kind that changes no score, as invisible characters do where a tokenizer drops them,
    is not tried again.

    Untargeted, no item has a loss of its own: random typos in all titles, a quarter of them drawn anew at a time, in
    ``looks`` evaluations.
    """

    class Config(TextConfig):
        """Settings."""

        unit: Literal["characters"] = "characters"
        kinds: Annotated[tuple[Typo, ...], AfterValidator(_distinct)] = KINDS
        draws: int = Field(default=50, ge=1, description="titles that are drawn from the genuine one")
        rounds: int = Field(default=150, ge=0, description="titles that are drawn from the best one")
        looks: int = Field(default=20, ge=1, description="evaluations where it is untargeted")

    config: Config

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        """The best titles."""
        c, genuine, limit = self.config, oracle.titles(), oracle.budget()
        if not any(limit):
            return
        if c.goal == "untargeted":

            def draw(at: int, generator: np.random.Generator) -> str:
                return spelt(genuine[at], littered(genuine[at], limit[at], c.kinds, generator), limit[at])

            yield from together(oracle, rng, draw, c.looks)
            return
        climb = Climb(oracle)
        if kinds := self._seen(climb, rng):
            typos = Typos(climb)
            for look in range(c.draws + c.rounds):
                generators = [rng.child("look", look, at).numpy() for at in range(len(genuine))]
                stay = STAY if look >= c.draws else 0.0
                typos.step([self._drawn(typos, at, kinds, stay, by) for at, by in enumerate(generators)])
            yield climb.titles

    def _drawn(
        self, typos: Typos, at: int, kinds: Sequence[Typo], stay: float, generator: np.random.Generator
    ) -> Spelling:
        """Some of the item's typos, and some new ones."""
        kept = tuple(typo for typo in typos.now[at] if generator.random() < stay)
        count = int(generator.integers(1, MOST + 1))  # whatever the budget: a larger one draws the same and fits more
        return (*kept, *littered(typos.climb.genuine[at], count, kinds, generator))

    def _seen(self, climb: Climb, rng: Rng) -> tuple[Typo, ...]:
        """The kinds that change a score."""
        found = []
        for kind in self.config.kinds:
            generators = [rng.child("seen", kind, at).numpy() for at in range(len(climb.genuine))]
            titles = [
                spelt(title, littered(title, limit, (kind,), generator), limit)
                for title, limit, generator in zip(climb.genuine, climb.limit, generators, strict=True)
            ]
            if bool((climb.oracle.evaluate(titles).loss != climb.shown.loss).any()):
                found.append(kind)
        return tuple(found)


class Typos:
    """A climb that knows which typos its titles are made of.

    Args:
        climb: at the genuine titles.
    """

    def __init__(self, climb: Climb) -> None:
        self.climb = climb
        self.now: list[Spelling] = [() for _ in climb.titles]

    def step(self, proposed: Sequence[Spelling]) -> None:
        """Score a spelling of every title; each that is an advance is taken."""
        genuine, limit = self.climb.genuine, self.climb.limit
        titles = [spelt(title, typos, most) for title, typos, most in zip(genuine, proposed, limit, strict=True)]
        before = self.climb.titles
        for found in self.climb.step([titles]):
            taken = [new != old for new, old in zip(found, before, strict=True)]
            self.now = [new if take else old for new, old, take in zip(proposed, self.now, taken, strict=True)]


def drawn(word: int, kinds: Sequence[Typo], generator: np.random.Generator) -> Slip:
    """A random typo in a word."""
    return word, kinds[int(generator.integers(len(kinds)))], float(generator.random())


def littered(title: str, limit: int, kinds: Sequence[Typo], generator: np.random.Generator) -> Spelling:
    """``limit`` random typos."""
    words = [place for place, word in enumerate(title.split(" ")) if word]
    return tuple(
        drawn(words[int(generator.integers(len(words)))], kinds, generator) for _ in range(limit if words else 0)
    )


def spelt(title: str, typos: Spelling, limit: int) -> str:
    """``title`` after these typos, but for those that no longer fit into the budget."""
    now = title.split(" ")
    for word, kind, share in typos:
        changed = [*now[:word], misspelt(now[word], kind, share), *now[word + 1 :]]
        now = changed if edits_between(title, " ".join(changed), "characters") <= limit else now
    return " ".join(now)


def misspelt(word: str, kind: Typo, share: float) -> str:
    """``word`` with a typo at the place that comes after that share, in [0, 1), of those where there can be one; the
    word as it is where there is none.
    """
    found = list(_typos(word, kind))
    return found[int(share * len(found))] if found else word


def _typos(word: str, kind: Typo) -> Iterator[str]:
    """Every word that one typo makes of it."""
    for at, char in enumerate(word):
        before, after = word[:at], word[at + 1 :]
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
        elif kind == "zero-width" and at:
            yield before + INVISIBLE + char + after
