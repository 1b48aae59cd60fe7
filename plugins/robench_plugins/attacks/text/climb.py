"""What the attacks on titles share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from robench.api import Catalogue, Rng, TextOracle
from robench.api.attacks.text import Exposure, edits_between, pieces

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

AGAIN = 0.25  # share of the titles that are drawn anew at a time, where all items have one loss


class Climb:
    """The best titles found so far, step by step: those that reach more users, or, with as many, are of a higher loss.

    The host compares titles by the top k, and the loss alone, a mean over all users, would rather raise an item from
    rank 900 to 300 with everybody than into the top k of a few. Promoted items have outcomes of their own: of a step's
    proposals each item takes its best, whatever the others take. Untargeted, all items have the same outcome, so all
    take the same proposal. A proposal that is no advance is not taken.
    """

    def __init__(self, oracle: TextOracle) -> None:
        self.oracle, self.genuine, self.limit = oracle, oracle.titles(), oracle.budget()
        self.titles = oracle.titles()
        self.shown = oracle.evaluate(self.titles)

    def fits(self, at: int, title: str) -> bool:
        """Whether the title of the item ``at`` (in the oracle's order) would be within budget."""
        return edits_between(self.genuine[at], title, self.oracle.unit) <= self.limit[at]

    def lawful(self, proposed: Sequence[str]) -> list[str]:
        """The titles as they are where a proposal is over budget."""
        return [new if self.fits(at, new) else self.titles[at] for at, new in enumerate(proposed)]

    def step(self, proposals: Iterable[Sequence[str]]) -> Iterator[list[str]]:
        """Score lawful proposals and take what is best; the titles that came of it, if any changed.

        Of promoted items the outcomes are those beside the proposals that they came in: the titles of others move them
        little, and the host looks at everything again.
        """
        found, best = list(self.titles), self.shown
        for titles in proposals:
            if titles == self.titles:
                continue
            shown = self.oracle.evaluate(titles)
            ahead = better(shown, best)
            found = [new if take else old for new, old, take in zip(titles, found, ahead.tolist(), strict=True)]
            best = Exposure(shown.loss.where(ahead, best.loss), shown.reached.where(ahead, best.reached))
        if found != self.titles:
            self.titles, self.shown = found, best
            yield list(found)


def better(one: Exposure, two: Exposure) -> Tensor:
    """Where the first reaches more users, or as many with a higher loss: bool [A]."""
    return (one.reached > two.reached) | ((one.reached == two.reached) & (one.loss > two.loss))


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
    titles, best = oracle.titles(), oracle.evaluate(oracle.titles())
    for look in range(looks):
        generator = rng.child("look", look).numpy()
        chosen = generator.random(len(titles)) < (AGAIN if look else 1.0)
        proposed = [draw(at, generator) if take else titles[at] for at, take in enumerate(chosen.tolist())]
        shown = oracle.evaluate(proposed)
        if not look or bool(better(shown, best)[0]):
            titles, best = proposed, shown
            yield list(titles)


def single(word: str) -> bool:
    """Whether it counts as one word."""
    return len(pieces(word, "words")) == 1


def vocabulary(catalogue: Catalogue) -> list[str]:
    """The words of all titles, each once, in alphabetical order."""
    return sorted({word for item in catalogue.items for word in item.title.split() if single(word)})
