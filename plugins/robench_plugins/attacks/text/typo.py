"""An attack by typos, look-alike letters and invisible characters in titles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from robench.api import Rng, TextAttack, TextConfig, TextOracle
from robench_plugins.attacks.text.misspelling import TYPO_KINDS, Typo, TypoKind, random_typos, with_typos
from robench_plugins.attacks.text.title_search import TRIES, TitleSearch, search_jointly

if TYPE_CHECKING:
    import numpy as np

KEPT = 0.9  # the probability that a typo of the best title stays in a proposal
MOST_NEW = 8  # the largest number of new typos per proposal


def _distinct(kinds: tuple[TypoKind, ...]) -> tuple[TypoKind, ...]:
    """Returns the kinds of typos, after checking them.

    Raises:
        ValueError: if there are no kinds, or if a kind is repeated.
    """
    if not kinds or len(set(kinds)) < len(kinds):
        raise ValueError("name each kind of typo once, and at least one")
    return kinds


class TypoAttack(TextAttack):
    """Searches for the typos in a title that do most for the goal.

    The attack scores ``draws`` titles with a few random typos. In each of ``rounds`` further evaluations it keeps most
    typos of the best title, and adds new ones. The kinds ``swap``, ``drop``, ``insert`` and ``replace`` come from
    DeepWordBug (Gao et al., IEEE Security and Privacy Workshops 2018). ``swap`` exchanges two adjacent letters, which
    costs 2 edits, and ``replace`` writes a random letter. The kinds ``homoglyph`` and ``zero-width`` come from Boucher
    et al. (IEEE S&P 2022).

    The search is our own. DeepWordBug and TextBugger (Li et al., NDSS 2019) choose the most important words and
    misspell them one by one. Often no single typo promotes a title, but several typos together do. There is no limit on
    the similarity of sentences. The titles of all items are scored in the same evaluations. A kind of typo that changes
    the loss of no item is not tried again. For example, a tokenizer may drop invisible characters.

    With the goal ``untargeted``, all items share one outcome. The attack then puts random typos into all titles, and
    redraws about a quarter of the titles at a time. The number of evaluations is ``looks``.

    With ``stealth``, a proposal is drawn up to 20 times, with fewer new typos each time, until the host accepts it.
    """

    class Config(TextConfig):
        """Settings of the search for typos."""

        unit: Literal["characters"] = "characters"
        kinds: Annotated[tuple[TypoKind, ...], AfterValidator(_distinct)] = Field(
            default=TYPO_KINDS, description="Kinds of typos to try"
        )
        draws: int = Field(default=50, ge=1, description="Score evaluations of typos in the genuine titles")
        rounds: int = Field(default=150, ge=0, description="Score evaluations of changes of the best titles")
        looks: int = Field(default=20, ge=1, description="Score evaluations of an untargeted attack")

    config: Config

    def rewrite(self, oracle: TextOracle, rng: Rng) -> Iterator[Sequence[str]]:
        """Yields the best titles, one per item.

        An untargeted attack yields titles whenever they change.
        """
        c, genuine, budget = self.config, oracle.titles(), oracle.budget()
        if not any(budget):
            return
        if c.goal == "untargeted":

            def draw(index: int, most: int, generator: np.random.Generator) -> str:
                return with_typos(genuine[index], random_typos(genuine[index], most, c.kinds, generator), most)

            yield from search_jointly(oracle, rng, draw, c.looks, rules=c.stealth is not None)
            return
        search = TitleSearch(oracle)
        kinds = self._effective_kinds(search, rng) if c.stealth is None else c.kinds
        if not kinds:
            return
        best: list[tuple[Typo, ...]] = [() for _ in genuine]
        for number in range(c.draws + c.rounds):
            keep = KEPT if number >= c.draws else 0.0
            if c.stealth is not None:
                best = _step(search, best, self._accepted(search, best, keep, rng.child("look", number)))
                continue
            generators = [rng.child("look", number, index).numpy() for index in range(len(genuine))]
            proposal = [
                _proposal(title, typos, kinds, keep, generator)
                for title, typos, generator in zip(genuine, best, generators, strict=True)
            ]
            best = _step(search, best, proposal)
        yield search.titles

    def _accepted(
        self, search: TitleSearch, best: Sequence[tuple[Typo, ...]], keep: float, rng: Rng
    ) -> list[tuple[Typo, ...]]:
        """Returns a proposal for each title that the host would accept.

        A proposal is drawn at most 20 times, with fewer new typos each time. If the host accepts none, the typos of the
        best title stay.

        Args:
            search: the search, which holds the titles so far.
            best: the typos of the best titles so far.
            keep: the probability that a typo stays.
            rng: the source of all draws.
        """
        proposal, left = list(best), list(range(len(best)))
        for number in range(TRIES):
            most = -(-MOST_NEW * (TRIES - number) // TRIES)
            drawn = [
                _proposal(search.genuine[i], best[i], self.config.kinds, keep, rng.child(number, i).numpy(), most)
                for i in left
            ]
            titles = [with_typos(search.genuine[i], t, search.budget[i]) for i, t in zip(left, drawn, strict=True)]
            passes = search.oracle.passes(list(zip(left, titles, strict=True)))
            takes = [
                accepted and title != search.titles[i] for i, title, accepted in zip(left, titles, passes, strict=True)
            ]
            for i, typos, take in zip(left, drawn, takes, strict=True):
                proposal[i] = typos if take else proposal[i]
            left = [i for i, take in zip(left, takes, strict=True) if not take]
        return proposal

    def _effective_kinds(self, search: TitleSearch, rng: Rng) -> tuple[TypoKind, ...]:
        """Returns the kinds of typos that change some item's loss in one random trial."""
        effective = []
        for kind in self.config.kinds:
            generators = [rng.child("seen", kind, index).numpy() for index in range(len(search.genuine))]
            titles = [
                with_typos(title, random_typos(title, budget, (kind,), generator), budget)
                for title, budget, generator in zip(search.genuine, search.budget, generators, strict=True)
            ]
            if bool((search.oracle.evaluate(titles).loss != search.exposure.loss).any()):
                effective.append(kind)
        return tuple(effective)


def _proposal(
    title: str,
    typos: Sequence[Typo],
    kinds: Sequence[TypoKind],
    keep: float,
    generator: np.random.Generator,
    most: int = MOST_NEW,
) -> tuple[Typo, ...]:
    """Returns some of the typos of a title and up to ``most`` new ones.

    Args:
        title: the genuine title.
        typos: the typos of the best title so far.
        kinds: the kinds of new typos.
        keep: the probability that a typo stays.
        generator: the source of the draws.
        most: the maximum number of new typos.
    """
    staying = tuple(typo for typo in typos if generator.random() < keep)
    # The count does not depend on the budget, so that a larger budget fits more of the same typos.
    count = int(generator.integers(1, most + 1))
    return (*staying, *random_typos(title, count, kinds, generator))


def _step(
    search: TitleSearch, best: Sequence[tuple[Typo, ...]], proposal: Sequence[tuple[Typo, ...]]
) -> list[tuple[Typo, ...]]:
    """Evaluates the proposed typos and returns the typos of the best titles."""
    titles = [
        with_typos(title, typos, budget)
        for title, typos, budget in zip(search.genuine, proposal, search.budget, strict=True)
    ]
    previous = search.titles
    for _ in search.step([titles]):
        pass
    changed = [new != old for new, old in zip(search.titles, previous, strict=True)]
    return [new if take else old for new, old, take in zip(proposal, best, changed, strict=True)]
