"""Words of titles exchanged along the gradient."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from robench.api import PluginError, Rng, TextAttack, TextConfig, TextOracle, TokenSlopes
from robench_plugins.attacks.titles import Climb, single, vocabulary

LETTERS = re.compile(r"[^\W\d_]+")
LOOKED = 200  # steepest flips among which those within budget are looked for


class HotFlip(TextAttack):
    """Step by step, the ``verify`` word flips of the steepest slope are scored per item, and the best is kept.

    HotFlip (Ebrahimi et al., ACL 2018): to put token b in the place of a changes the loss by ⟨e_b − e_a, ∂L/∂e_a⟩ to
    first order, and one gradient tells it for all places and tokens. Where a model scores an item by the likelihood of
    its tokens, b's own likelihood in place of a's comes on top; it needs no estimate (ARCA, Jones et al., ICML 2023,
    parts the two in the same way), the loss is still of first order in it. What differs: flips are of whole words, so a
    word of several tokens is taken to have b in the place of each; only words of the catalogue's titles that are one
    token come in (with ``words: any``, all words that are), since the estimate says little of words far from what the
    model was trained on; the search is greedy (a beam of one), but flips are scored before one is taken; and there is
    none of their limits on cosine, part of speech and stop words, since this threat model counts edits. They estimate
    an insertion as a chain of flips of everything behind it. Here a filler, the word whose vector is nearest to the
    mean word's, is put in first, and then flipped by the gradient there, so the estimate is first order in the flip
    alone.

    Untargeted, all titles are rewritten at once in ``rounds`` steps, each of which flips as many places of a title as
    its share of the budget allows, in all titles or in the half of them where the estimate is larger; no insertions.
    """

    class Config(TextConfig):
        """Settings."""

        unit: Literal["words"] = "words"
        verify: int = Field(default=25, ge=1, description="flips of each kind that are scored per step")
        words: Literal["catalogue", "any"] = Field(
            default="catalogue", description="that come in: those of the catalogue's titles, or all that are a token"
        )
        insert: Literal["front", "end", "never"] = Field(default="end", description="where words are added")
        rounds: int = Field(default=3, ge=1, description="steps where it is untargeted")

    config: Config
    gradient: ClassVar[bool] = True

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        """The best titles after each step."""
        c, limit = self.config, oracle.budget()
        if not any(limit):
            return
        climb = Climb(oracle)
        if c.goal == "untargeted":
            for _ in range(c.rounds):
                yield from climb.step(self._everywhere(climb))
            return
        for _ in range(max(limit)):
            yield from climb.step(self._proposals(climb))

    def _sloped(self, climb: Climb, titles: Sequence[str]) -> Sloped:
        return Sloped.at(climb.oracle, titles, only_known=self.config.words == "catalogue")

    def _proposals(self, climb: Climb) -> Iterator[list[str]]:
        """The steepest substitutions, then the steepest insertions; the v-th of each item together."""
        c = self.config
        sloped = self._sloped(climb, climb.titles)
        yield from self._lined_up(climb, [sloped.substitutions(at, t) for at, t in enumerate(climb.titles)])
        if c.insert != "never":
            filler = sloped.typical()
            filled = [f"{t} {filler}" if c.insert == "end" else f"{filler} {t}" for t in climb.titles]
            if (lawful := climb.lawful(filled)) != climb.titles:
                sloped = self._sloped(climb, lawful)
                place = -1 if c.insert == "end" else 0
                flips = [
                    sloped.substitutions(at, new, place) if new != climb.titles[at] else iter(())
                    for at, new in enumerate(lawful)
                ]
                yield from self._lined_up(climb, flips)

    def _lined_up(self, climb: Climb, flips: Sequence[Iterator[str]]) -> Iterator[list[str]]:
        """The first lawful flips of every item side by side; an item that has no more keeps its title."""
        columns = []
        for at, found in enumerate(flips):
            lawful = (title for title in found if title != climb.titles[at] and climb.fits(at, title))
            columns.append([title for title, _ in zip(lawful, range(self.config.verify), strict=False)])
        for number in range(max(len(column) for column in columns)):
            yield [column[number] if number < len(column) else climb.titles[at] for at, column in enumerate(columns)]

    def _everywhere(self, climb: Climb) -> Iterator[list[str]]:
        """Flips in all titles, and in half of them."""
        sloped = self._sloped(climb, climb.titles)
        found, gains = [], []
        for at, title in enumerate(climb.titles):
            new, gain, left = title, 0.0, -(-climb.limit[at] // self.config.rounds)
            for change, place, word in sloped.steepest(at, title):
                parts = new.split()
                parts[place] = word
                if change > 0 and left and climb.fits(at, " ".join(parts)):
                    new, gain, left = " ".join(parts), gain + change, left - 1
            found.append(new)
            gains.append(gain)
        middle = float(torch.tensor(gains).median())
        yield found
        yield [new if gain > middle else old for new, old, gain in zip(found, climb.titles, gains, strict=True)]


@dataclass(frozen=True, eq=False)
class Sloped:
    """Slopes at some titles, and what may come in.

    Args:
        slopes: as the host gives them.
        tokens: that stand for a word: W ids.
        words: these words.
        vectors: of these tokens: float [W, d].
    """

    slopes: TokenSlopes
    tokens: Sequence[int]
    words: Sequence[str]
    vectors: Tensor

    @classmethod
    def at(cls, oracle: TextOracle, titles: Sequence[str], *, only_known: bool = False) -> Sloped:
        """Slopes at these titles; ``only_known``: only words of the catalogue's titles may come in.

        Raises:
            PluginError: there are none.
        """
        found = oracle.slopes(titles)
        if found is None or not found.words:
            raise PluginError(
                "hotflip needs a model with a gradient by the tokens of a title, some of them whole words"
            )
        known = {part.casefold() for word in vocabulary(oracle.catalogue) for part in LETTERS.findall(word)}
        tokens = [t for t, word in found.words.items() if single(word) and (not only_known or word.casefold() in known)]
        if not tokens:
            raise PluginError("none of the words of the catalogue's titles is a token of the model: write words: any")
        return cls(found, tokens, [found.words[token] for token in tokens], found.table[tokens])

    def typical(self) -> str:
        """The word whose vector is nearest to the mean of all words'."""
        return self.words[int((self.vectors - self.vectors.mean(0)).square().sum(1).argmin())]

    def estimates(self, at: int, title: str) -> Tensor:
        """What each word in each place of the item's title does to the loss: [places, W].

        −inf where no token stands for the place, or where the model reads other words than are in the title.
        """
        s, places = self.slopes, len(title.split())
        found = torch.full((places, len(self.words)), -torch.inf)
        if len(s.titles[at].split()) != places:
            return found
        gradient, own = s.gradient[at], s.table[s.ids[at]]
        for place in set(s.word[at].tolist()) - {-1}:
            tokens = s.word[at] == place
            found[place] = self.vectors @ gradient[tokens].sum(0) - (gradient[tokens] * own[tokens]).sum()
            if s.choice is not None:
                worth = s.choice[at, tokens]
                found[place] += worth[:, self.tokens].sum(0) - worth.gather(1, s.ids[at, tokens, None]).sum()
        return found

    def substitutions(self, at: int, title: str, only: int | None = None) -> Iterator[str]:
        """The item's title after the steepest flips, one each; of one place only where it is given (−1 is the last)."""
        slope = self.estimates(at, title)
        places = range(len(slope)) if only is None or not len(slope) else [only % len(slope)]
        chosen = slope[list(places)].flatten()
        for value, index in zip(*(part.tolist() for part in chosen.topk(min(len(chosen), LOOKED))), strict=True):
            if value > -torch.inf:
                parts = title.split()
                parts[places[index // len(self.words)]] = self.words[index % len(self.words)]
                yield " ".join(parts)

    def steepest(self, at: int, title: str) -> list[tuple[float, int, str]]:
        """The best flip of every place, the steepest first: the change, the place, the word."""
        values, best = (part.tolist() for part in self.estimates(at, title).max(1))
        flips = [(value, place, self.words[i]) for place, (value, i) in enumerate(zip(values, best, strict=True))]
        return sorted((flip for flip in flips if flip[0] > -torch.inf), reverse=True)
