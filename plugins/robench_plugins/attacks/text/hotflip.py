"""HotFlip: an attack that exchanges words of titles along the gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field

from robench.api import Rng, TextAttack, TextConfig, TextOracle
from robench_plugins.attacks.text.title_search import MOST_CHECKED, TitleSearch
from robench_plugins.attacks.text.word_flips import STEEPEST, WordFlips


class HotFlip(TextAttack):
    """Changes one word of a title at a time, chosen by gradient and then by score.

    The attack follows HotFlip of Ebrahimi et al. (ACL 2018). ``WordFlips`` describes the estimates. The attack differs
    from the paper in four ways. First, it exchanges whole words. Second, new words come only from the catalogue's
    titles, because the estimate is unreliable for words unlike those in the training data. With ``words: any``, every
    word that is a token may be used too. Third, the search is greedy, with a beam of one, but flips are scored before
    one is applied. Fourth, the paper's limits on cosine, part of speech and stop words do not apply, because this
    threat model counts edits.

    To insert a word, the attack first adds the typical word of the catalogue. Then it flips this word, guided by the
    gradient at its position. The paper estimates insertions and deletions as chains of flips of all later tokens.

    An untargeted attack rewrites all titles at once, in ``rounds`` steps without insertions or deletions. A step flips
    as many words of a title as the step's share of the budget allows. Each step tries two versions. One version changes
    all titles, and the other changes only the half with the higher estimates.

    With ``stealth``, the host first removes all changes that it would refuse. The attack scores the remaining changes
    with the best estimates.
    """

    class Config(TextConfig):
        """Settings of HotFlip."""

        unit: Literal["words"] = "words"
        verify: int = Field(
            default=25,
            ge=1,
            description="Most substitutions scored per step; the same limit holds for deletions and for insertions",
        )
        words: Literal["catalogue", "any"] = Field(
            default="catalogue",
            description="Words that may come in: those of the catalogue's titles, or all tokens too",
        )
        insert: Literal["front", "end", "never"] = Field(
            default="end", description="Side of the title at which words are added"
        )
        rounds: int = Field(default=3, ge=1, description="Steps of an untargeted attack")

    config: Config
    gradient: ClassVar[bool] = True

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        """Yields the best titles after each step that changes them, one per item.

        Raises:
            PluginError: if the model offers no gradient with respect to the tokens of a title, or knows none of the
                words that the attack may insert.
        """
        c, budget = self.config, oracle.budget()
        if not any(budget):
            return
        search = TitleSearch(oracle)
        if c.goal == "untargeted":
            for _ in range(c.rounds):
                yield from search.step(self._joint_proposals(search))
            return
        for _ in range(max(budget)):
            yield from search.step(self._proposals(search))

    def _flips(self, search: TitleSearch, titles: Sequence[str]) -> WordFlips:
        """Returns the word flips for the given titles, with the configured words."""
        return WordFlips.at(search.oracle, titles, catalogue_only=self.config.words == "catalogue")

    def _proposals(self, search: TitleSearch) -> Iterator[list[str]]:
        """Yields the steepest substitutions, then deletions, then insertions.

        The n-th proposal of each kind holds the n-th title of every item.
        """
        c, titles = self.config, search.titles
        flips = self._flips(search, titles)
        most = STEEPEST if c.stealth is None else MOST_CHECKED
        yield from search.side_by_side([flips.substitutions(i, t, most=most) for i, t in enumerate(titles)], c.verify)
        yield from search.side_by_side([flips.deletions(i, t) for i, t in enumerate(titles)], c.verify)
        if c.insert != "never":
            filler = flips.typical_word()
            filled = [f"{title} {filler}" if c.insert == "end" else f"{filler} {title}" for title in titles]
            if (longer := [new if search.fits(i, new) else titles[i] for i, new in enumerate(filled)]) != titles:
                flips = self._flips(search, longer)
                position = -1 if c.insert == "end" else 0
                insertions = [
                    flips.substitutions(index, new, position, most) if new != titles[index] else iter(())
                    for index, new in enumerate(longer)
                ]
                yield from search.side_by_side(insertions, c.verify)

    def _joint_proposals(self, search: TitleSearch) -> Iterator[list[str]]:
        """Yields flips in all titles, then only in the half with the higher estimates."""
        c, flips = self.config, self._flips(search, search.titles)
        titles, gains = [], []
        for index, title in enumerate(search.titles):
            new, gain, left = title, 0.0, -(-search.budget[index] // c.rounds)
            for estimate, position, word in flips.steepest(index, title):
                parts = new.split()
                parts[position] = word
                if estimate > 0 and left and search.fits(index, " ".join(parts)):
                    new, gain, left = " ".join(parts), gain + estimate, left - 1
            titles.append(new)
            gains.append(gain)
        titles = search.within_budget(titles) if c.stealth is not None else titles
        median = float(torch.tensor(gains).median())
        yield titles
        yield [new if gain > median else old for new, old, gain in zip(titles, search.titles, gains, strict=True)]
