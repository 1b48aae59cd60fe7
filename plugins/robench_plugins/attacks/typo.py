"""Misspelt titles: letters swapped, dropped, replaced by others that look the same, or parted by nothing visible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from robench.api import Rng, TextAttack, TextConfig, TextOracle, edits_between
from robench_plugins.attacks.titles import Climb, together

if TYPE_CHECKING:
    import numpy as np

Typo = Literal["swap", "drop", "homoglyph", "zero-width"]
# Cyrillic and Greek letters that most fonts draw like the Latin ones, by code point.
LATIN = "aceiopsxyjABCEHIKMOPSTXYZ"
ALIKE = (
    "\u0430\u0441\u0435\u0456\u043e\u0440\u0455\u0445\u0443\u0458"
    "\u0410\u0412\u0421\u0415\u041d\u0406\u041a\u041c\u041e\u0420\u0405\u0422\u0425\u03a5\u0396"
)
HOMOGLYPHS = dict(zip(LATIN, ALIKE, strict=True))
INVISIBLE = "\u200b"  # zero width space


def _distinct(kinds: tuple[Typo, ...]) -> tuple[Typo, ...]:
    if not kinds or len(set(kinds)) < len(kinds):
        raise ValueError("name each kind of typo once, and at least one")
    return kinds


class TypoAttack(TextAttack):
    """Word by word, the word whose absence helps most first, ``tries`` random typos are scored and the best is kept.

    The scheme of TextBugger's black-box attack (Li et al., NDSS 2019): rank the words by what their removal does to the
    score, then give each the bug that does most. DeepWordBug (Gao et al., IEEE Security and Privacy Workshops 2018)
    scores words otherwise and draws its transformation. Theirs too are ``swap`` (two adjacent letters; 2 edits) and
    ``drop`` (a letter). What differs: ``homoglyph`` and ``zero-width`` are of Boucher et al. (IEEE S&P 2022), whereas
    TextBugger's letters that look alike are such as 0 for o, and neither inserted blanks nor its substitution by a word
    of a near vector are made; several typos may fall on one word, until the budget is spent; there is no limit on the
    similarity of sentences, and words of all items are ranked in the same looks.

    Untargeted, no item has a loss of its own: random typos in all titles, a quarter of them drawn anew at a time, in
    ``looks`` evaluations.
    """

    class Config(TextConfig):
        """Settings."""

        unit: Literal["characters"] = "characters"
        kinds: Annotated[tuple[Typo, ...], AfterValidator(_distinct)] = ("swap", "drop", "homoglyph", "zero-width")
        tries: int = Field(default=8, ge=1, description="typos that are scored per word")
        looks: int = Field(default=20, ge=1, description="evaluations where it is untargeted")

    config: Config

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        """The best titles after each word."""
        c, genuine, limit = self.config, oracle.titles(), oracle.budget()
        if not any(limit):
            return
        if c.goal == "untargeted":

            def draw(at: int, generator: np.random.Generator) -> str:
                return self._littered(genuine[at], limit[at], generator)

            yield from together(oracle, rng, draw, c.looks)
            return
        climb = Climb(oracle)
        order = ranked(climb)
        for step in range(max(*limit, *(len(words) for words in order))):
            generators = [rng.child("step", step, at).numpy() for at in range(len(genuine))]
            yield from climb.step(self._tried(climb, order, step, generators) for _ in range(c.tries))

    def _tried(
        self, climb: Climb, order: Sequence[Sequence[int]], step: int, generators: Sequence[np.random.Generator]
    ) -> list[str]:
        """A random typo in every title, in the word whose turn it is."""
        found = []
        for title, words, generator in zip(climb.titles, order, generators, strict=True):
            parts = title.split(" ")
            if words:
                word = words[step % len(words)]
                parts[word] = self._typo(parts[word], generator)
            found.append(" ".join(parts))
        return climb.lawful(found)

    def _typo(self, word: str, generator: np.random.Generator) -> str:
        kinds = self.config.kinds
        return misspelt(word, kinds[int(generator.integers(len(kinds)))], generator)

    def _littered(self, title: str, limit: int, generator: np.random.Generator) -> str:
        """``title`` after as many random typos as the budget has edits, but for those that no longer fit in."""
        left = limit
        for _ in range(limit):
            parts = title.split(" ")
            word = int(generator.integers(len(parts)))
            parts[word] = self._typo(parts[word], generator)
            spent = edits_between(title, changed := " ".join(parts), "characters")
            if spent <= left:
                title, left = changed, left - spent
        return title


def ranked(climb: Climb) -> list[list[int]]:
    """The words of every title (split at blanks), those first without which the loss is highest."""
    words = [title.split(" ") for title in climb.titles]
    losses = []
    for number in range(max(len(parts) for parts in words)):
        without = [" ".join([*parts[:number], *parts[number + 1 :]]) for parts in words]
        losses.append(climb.oracle.evaluate(without).loss.tolist())
    found = []
    for at, parts in enumerate(words):
        places = [place for place, word in enumerate(parts) if word]
        found.append(sorted(places, key=lambda place, at=at: -losses[place][at]))  # type: ignore[misc]
    return found


def misspelt(word: str, kind: Typo, generator: np.random.Generator) -> str:
    """``word`` with a typo at a random place where there can be one; else the word as it is."""
    n = len(word)
    if kind == "swap":
        places = [at for at in range(n - 1) if word[at] != word[at + 1]]
    elif kind == "homoglyph":
        places = [at for at in range(n) if word[at] in HOMOGLYPHS]
    else:
        places = list(range(1, n)) if kind == "zero-width" else list(range(n if n > 1 else 0))
    if not places:
        return word
    at = places[int(generator.integers(len(places)))]
    new = {
        "swap": lambda: word[at + 1] + word[at] + word[at + 2 :],
        "drop": lambda: word[at + 1 :],
        "homoglyph": lambda: HOMOGLYPHS[word[at]] + word[at + 1 :],
        "zero-width": lambda: INVISIBLE + word[at:],
    }
    return word[:at] + new[kind]()
