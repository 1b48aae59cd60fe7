"""Misspelt titles: letters swapped, dropped, replaced by others that look the same, or parted by nothing visible."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
STAY = 0.7  # chance of a typo to stay in a round
Slip = tuple[int, Typo, float]  # in which word, of what kind, and at what share of the places
Spelling = tuple[Slip, ...]


def _distinct(kinds: tuple[Typo, ...]) -> tuple[Typo, ...]:
    if not kinds or len(set(kinds)) < len(kinds):
        raise ValueError("name each kind of typo once, and at least one")
    return kinds


class TypoAttack(TextAttack):
    """Word by word, the word whose absence helps most first, ``tries`` random typos are scored and the best is kept;
    then, ``rounds`` times, ``tries`` titles with some of these typos and new random ones in place of the others.

    The first pass has the scheme of TextBugger's black-box attack (Li et al., NDSS 2019): rank the words by what their
    removal does to the score, then give each the bug that does most. DeepWordBug (Gao et al., IEEE Security and Privacy
    Workshops 2018) scores words otherwise and draws its transformation. Theirs too are ``swap`` (two adjacent letters;
    2 edits) and ``drop`` (a letter). What differs: ``homoglyph`` and ``zero-width`` are of Boucher et al. (IEEE S&P
    2022), whereas TextBugger's letters that look alike are such as 0 for o, and neither inserted blanks nor its
    substitution by a word of a near vector are made; several typos may fall on one word, until the budget is spent;
    there is no limit on the similarity of sentences, and words of all items are ranked in the same looks. The rounds
    are ours: typo by typo a title often finds no way up where several at once do. A kind that changes no score, as
    invisible characters do where a tokenizer drops them, is not tried again.

    Untargeted, no item has a loss of its own: random typos in all titles, a quarter of them drawn anew at a time, in
    ``looks`` evaluations.
    """

    class Config(TextConfig):
        """Settings."""

        unit: Literal["characters"] = "characters"
        kinds: Annotated[tuple[Typo, ...], AfterValidator(_distinct)] = ("swap", "drop", "homoglyph", "zero-width")
        tries: int = Field(default=4, ge=1, description="titles that are scored per step, for every item")
        rounds: int = Field(default=12, ge=0, description="steps after the words have had their turns")
        looks: int = Field(default=20, ge=1, description="evaluations where it is untargeted")

    config: Config

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        """The best titles after each step."""
        c, genuine, limit = self.config, oracle.titles(), oracle.budget()
        if not any(limit):
            return
        if c.goal == "untargeted":

            def draw(at: int, generator: np.random.Generator) -> str:
                return spelt(genuine[at], littered(genuine[at], limit[at], c.kinds, generator), limit[at])

            yield from together(oracle, rng, draw, c.looks)
            return
        climb = Climb(oracle)
        kinds = self._seen(climb, rng)
        if not kinds:
            return
        order, typos = ranked(climb), Typos(climb)
        turns = max(*limit, *(len(words) for words in order))
        for step in range(turns + c.rounds):
            generators = [rng.child("step", step, at).numpy() for at in range(len(genuine))]

            def proposal(at: int, step: int = step, by: Sequence[np.random.Generator] = generators) -> Spelling:
                if step < turns:
                    words = order[at]
                    return (*typos.now[at], *([drawn(words[step % len(words)], kinds, by[at])] if words else []))
                stay = tuple(typo for typo in typos.now[at] if by[at].random() < STAY)
                return (*stay, *littered(genuine[at], limit[at], kinds, by[at]))

            yield from typos.step([proposal(at) for at in range(len(genuine))] for _ in range(c.tries))

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

    def step(self, proposals: Iterable[Sequence[Spelling]]) -> Iterator[list[str]]:
        """Score proposals and take what is best; the titles that came of it, if any changed."""
        made: list[dict[str, Spelling]] = [{} for _ in self.now]

        def titles() -> Iterator[list[str]]:
            for proposed in proposals:
                found = []
                for at, typos in enumerate(proposed):
                    title = spelt(self.climb.genuine[at], typos, self.climb.limit[at])
                    made[at][title] = typos
                    found.append(title)
                yield found

        for found in self.climb.step(titles()):
            self.now = [made[at].get(title, self.now[at]) for at, title in enumerate(found)]
            yield found


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


def misspelt(word: str, kind: Typo, share: float) -> str:
    """``word`` with a typo at the place that comes after that share, in [0, 1), of those where there can be one; the
    word as it is where there is none.
    """
    n = len(word)
    if kind == "swap":
        places = [at for at in range(n - 1) if word[at] != word[at + 1]]
    elif kind == "homoglyph":
        places = [at for at in range(n) if word[at] in HOMOGLYPHS]
    else:
        places = list(range(1, n)) if kind == "zero-width" else list(range(n if n > 1 else 0))
    if not places:
        return word
    at = places[int(share * len(places))]
    new = {
        "swap": lambda: word[at + 1] + word[at] + word[at + 2 :],
        "drop": lambda: word[at + 1 :],
        "homoglyph": lambda: HOMOGLYPHS[word[at]] + word[at + 1 :],
        "zero-width": lambda: INVISIBLE + word[at:],
    }
    return word[:at] + new[kind]()
