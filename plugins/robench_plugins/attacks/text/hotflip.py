"""Words of titles exchanged along the gradient."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from robench.api import PluginError, Rng, TextAttack, TextConfig, TextOracle
from robench.api.attacks.text import TokenSlopes
from robench_plugins.attacks.text.climb import Climb, single, vocabulary

LETTERS = re.compile(r"[^\W\d_]+")
LOOKED = 200  # steepest flips among which those within budget are looked for


class HotFlip(TextAttack):
    """Step by step, the ``verify`` word flips of the steepest slope are scored per item, and the best is kept.

    HotFlip (Ebrahimi et al., ACL 2018): to put token b in the place of a changes the loss by ⟨e_b − e_a, ∂L/∂e_a⟩ to
    first order, and one gradient tells it for all places and tokens. What differs: flips are of whole words, so each
    token of a word gives way to the mean vector of the new one's; only words of the catalogue's titles come in (with
    ``words: any``, all words that are a token besides), since the estimate says little of words far from what the model
    was trained on; the search is greedy (a beam of one), but flips are scored before one is taken; and there is none of
    their limits on cosine, part of speech and stop words, since this threat model counts edits.

    Where a model scores an item by the mean log-likelihood of its tokens, a word's own likelihood in its place comes on
    top (ARCA, Jones et al., ICML 2023, parts the two in the same way): its first token's is known behind what stands
    before it, its further ones' as the word is read by itself, and the mean is over the new number of tokens.

    They estimate insertions and deletions as chains of flips of everything behind. Here a deleted word gives way to the
    filler, the word whose vector is nearest to the mean word's, or, where tokens have likelihoods, takes its own out of
    the mean; to insert one, a filler is put in first, and then flipped by the gradient there.

    Untargeted, all titles are rewritten at once in ``rounds`` steps, each of which flips as many places of a title as
    its share of the budget allows, in all titles or in the half of them where the estimate is larger; no insertions.
    """

    class Config(TextConfig):
        """Settings."""

        unit: Literal["words"] = "words"
        verify: int = Field(
            default=25, ge=1, description="substitutions, deletions, insertions each that are scored per step"
        )
        words: Literal["catalogue", "any"] = Field(
            default="catalogue",
            description="that come in: those of the catalogue's titles, or besides all that are a token",
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
        """The steepest substitutions, then deletions, then insertions; the v-th of each item together."""
        c = self.config
        sloped = self._sloped(climb, climb.titles)
        yield from self._lined_up(climb, [sloped.substitutions(at, t) for at, t in enumerate(climb.titles)])
        yield from self._lined_up(climb, [sloped.deletions(at, t) for at, t in enumerate(climb.titles)])
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
        words: that may come in: W of them.
        sizes: their tokens, counted: float [W].
        vectors: the means of these tokens' vectors: float [W, d].
        first: the first token of each: int64 [W].
        tails: how likely its further ones are: float [W], 0 where the model has no likelihoods.
    """

    slopes: TokenSlopes
    words: Sequence[str]
    sizes: Tensor
    vectors: Tensor
    first: Tensor
    tails: Tensor

    @classmethod
    def at(cls, oracle: TextOracle, titles: Sequence[str], *, only_known: bool = False) -> Sloped:
        """Slopes at these titles; ``only_known``: only words of the catalogue's titles may come in.

        Raises:
            PluginError: there are none.
        """
        found = oracle.slopes(titles)
        if found is None or not (found.words or found.spelled):
            raise PluginError("hotflip needs a model with a gradient by the tokens of a title")
        catalogue = vocabulary(oracle.catalogue)
        known = {part.casefold() for word in catalogue for part in LETTERS.findall(word)}
        tails = [0.0] * len(found.spelled) if found.tails is None else found.tails.tolist()
        tail_of = dict(zip(found.spelled, tails, strict=True))
        spelled = [(word, found.spelled[word]) for word in catalogue if word in found.spelled]
        whole = [(w, [t]) for t, w in found.words.items() if single(w) and (not only_known or w.casefold() in known)]
        read_as: dict[tuple[int, ...], str] = {}  # of words that are the same to the model the first
        for word, row in [*spelled, *whole]:
            read_as.setdefault(tuple(row), word)
        pool = {word: row for row, word in read_as.items()}
        if not pool:
            raise PluginError("the model reads none of the words of the catalogue's titles: write words: any")
        sizes = torch.tensor([len(row) for row in pool.values()])
        flat = torch.tensor([token for row in pool.values() for token in row])
        owner = torch.arange(len(pool)).repeat_interleave(sizes)
        sums = found.table.new_zeros(len(pool), found.table.shape[1]).index_add_(0, owner, found.table[flat])
        return cls(
            found,
            list(pool),
            sizes.to(sums),
            sums / sizes.to(sums).unsqueeze(1),
            torch.tensor([row[0] for row in pool.values()]),
            torch.tensor([tail_of.get(word, 0.0) for word in pool]).to(sums),
        )

    def typical(self) -> str:
        """Of the words of one token, if there are any, that whose vector is nearest to the mean of all words'."""
        away = (self.vectors - self.vectors.mean(0)).square().sum(1)
        return self.words[int(torch.where(self.sizes == self.sizes.min(), away, torch.inf).argmin())]

    def _tokens(self, at: int, title: str) -> Iterator[tuple[int, Tensor]]:
        """Every place of the item's title that a token stands for: the place, and its tokens, bool [L]; none where the
        model reads other words than are in the title.
        """
        word = self.slopes.word[at]
        if len(self.slopes.titles[at].split()) == len(title.split()):
            yield from ((place, word == place) for place in sorted(set(word.tolist()) - {-1}))

    def estimates(self, at: int, title: str) -> Tensor:
        """What each word in each place of the item's title does to the loss: [places, W].

        −inf where no token stands for the place, or where the model reads other words than are in the title.
        """
        s = self.slopes
        found = torch.full((len(title.split()), len(self.words)), -torch.inf)
        gradient, own = s.gradient[at], s.table[s.ids[at]]
        for place, tokens in self._tokens(at, title):
            found[place] = self.vectors @ gradient[tokens].sum(0) - (gradient[tokens] * own[tokens]).sum()
            if s.choice is not None:
                found[place] += self._likelier(s.choice[at], at, tokens)
        return found

    def _likelier(self, choice: Tensor, at: int, tokens: Tensor, *, gone: bool = False) -> Tensor:
        """What the mean of the likelihoods gains where a word comes for ``tokens`` (bool [L]), or nothing does: [W]."""
        s = self.slopes
        real = s.word[at] >= 0
        own, count = choice.gather(1, s.ids[at].unsqueeze(1)).squeeze(1), real.sum()
        left, remain = own[real & ~tokens].sum(), count - tokens.sum()
        if gone:
            return left * count / remain - own[real].sum()
        worth = 0.0 if s.worth is None else s.worth[at]
        new = choice[tokens][0, self.first] + self.tails * worth / count
        return (left + new) * count / (remain + self.sizes) - own[real].sum()

    def deletions(self, at: int, title: str) -> Iterator[str]:
        """The item's title without each of its words, the one that does most for the loss first."""
        s, parts, found = self.slopes, title.split(), []
        filler = self.vectors[self.words.index(self.typical())]
        for place, tokens in self._tokens(at, title):
            if len(parts) == 1 or bool(tokens.equal(s.word[at] >= 0)):
                continue
            if s.choice is not None:
                gain = self._likelier(s.choice[at], at, tokens, gone=True)
            else:
                gain = (s.gradient[at, tokens] * (filler - s.table[s.ids[at, tokens]])).sum()
            found.append((float(gain), place))
        for _, place in sorted(found, reverse=True):
            yield " ".join(parts[:place] + parts[place + 1 :])

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
