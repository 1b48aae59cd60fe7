"""What the attacks on titles share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from robench.api import Catalogue, Rng, TextOracle, edits_between, pieces

if TYPE_CHECKING:
    import numpy as np

AGAIN = 0.25  # share of the titles that are drawn anew at a time, where all items have one loss


class Climb:
    """The best titles found so far, step by step.

    Promoted items have losses of their own: of a step's proposals each item takes its best, whatever the others take.
    Untargeted, all items have the same loss, so all take the same proposal. A proposal that is no advance is not taken.
    """

    def __init__(self, oracle: TextOracle) -> None:
        self.oracle, self.genuine, self.limit = oracle, oracle.titles(), oracle.budget()
        self.titles = oracle.titles()
        self.loss = oracle.evaluate(self.titles).loss

    def fits(self, at: int, title: str) -> bool:
        """Whether the title of the item ``at`` (in the oracle's order) would be within budget."""
        return edits_between(self.genuine[at], title, self.oracle.unit) <= self.limit[at]

    def lawful(self, proposed: Sequence[str]) -> list[str]:
        """The titles as they are where a proposal is over budget."""
        return [new if self.fits(at, new) else self.titles[at] for at, new in enumerate(proposed)]

    def step(self, proposals: Iterable[Sequence[str]]) -> Iterator[list[str]]:
        """Score lawful proposals and take what is best; the titles that came of it, if any changed."""
        found, best = list(self.titles), self.loss
        for titles in proposals:
            if titles == self.titles:
                continue
            loss = self.oracle.evaluate(titles).loss
            ahead = loss > best
            found = [new if take else old for new, old, take in zip(titles, found, ahead.tolist(), strict=True)]
            best = loss.where(ahead, best)
        if found != self.titles:
            self.titles = found
            self.loss = self.oracle.evaluate(found).loss
            yield list(found)


def together(
    oracle: TextOracle, rng: Rng, draw: Callable[[int, np.random.Generator], str], looks: int
) -> Iterator[list[str]]:
    """Titles of all items where they have one loss in common: drawn once, then a quarter of them anew at a time, which
    is kept where it is an advance.

    Args:
        oracle: of an untargeted attack.
        draw: a title within budget for the item of that number.
        looks: evaluations.
    """
    titles, best = oracle.titles(), -float("inf")
    for look in range(looks):
        generator = rng.child("look", look).numpy()
        chosen = generator.random(len(titles)) < (AGAIN if look else 1.0)
        proposed = [draw(at, generator) if take else titles[at] for at, take in enumerate(chosen.tolist())]
        loss = float(oracle.evaluate(proposed).loss.mean())
        if loss > best:
            titles, best = proposed, loss
            yield list(titles)


def single(word: str) -> bool:
    """Whether it counts as one word."""
    return len(pieces(word, "words")) == 1


def vocabulary(catalogue: Catalogue) -> list[str]:
    """The words of all titles, each once, in alphabetical order."""
    return sorted({word for item in catalogue.items for word in item.title.split() if single(word)})
