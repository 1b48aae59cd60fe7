"""Greedy and joint title searches, shared by the attacks on titles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from robench.api import Rng, TextOracle
from robench.api.attacks.text import Exposure, edits_between

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

REDRAWN = 0.25  # the share of the titles that a joint search redraws at a time


class TitleSearch:
    """The state of a greedy search: the best title of every attacked item so far.

    A title is better if the attack reaches its goal for more users, or for as many users with a higher loss. The loss
    alone would be misleading, because the loss is a mean over all users. A move from rank 900 to 300 for every user
    would count more than a move into the top k for a few users.

    Promoted items have separate outcomes, so each item takes its best proposal. In an untargeted attack all items share
    one outcome, so all of them take the same proposal.

    Args:
        oracle: the oracle, which knows the items that may get new titles.

    Attributes:
        genuine: the genuine titles, one per item.
        budget: the largest number of edits in each title, one number per item.
        titles: the best titles so far.
        exposure: the loss of the best titles, and the share of users for which they reach the goal.
    """

    def __init__(self, oracle: TextOracle) -> None:
        self.oracle, self.genuine, self.budget = oracle, oracle.titles(), oracle.budget()
        self.titles = oracle.titles()
        self.exposure = oracle.evaluate(self.titles)

    def fits(self, index: int, title: str) -> bool:
        """Returns whether the title is within the budget of an item.

        Args:
            index: the item, in the order of the oracle.
            title: the new title.
        """
        return edits_between(self.genuine[index], title, self.oracle.unit) <= self.budget[index]

    def within_budget(self, proposal: Sequence[str]) -> list[str]:
        """Returns the proposal, with the best titles so far instead of those over budget."""
        return [new if self.fits(index, new) else self.titles[index] for index, new in enumerate(proposal)]

    def step(self, proposals: Iterable[Sequence[str]]) -> Iterator[list[str]]:
        """Applies to each item the best proposal that improves on its title so far.

        A promoted item is judged with the new titles of all items in a proposal. The titles of the other items hardly
        change the outcome, and the host evaluates the result again.

        Args:
            proposals: titles of all items within budget.

        Yields:
            The best titles, if any of them changed.
        """
        titles, best = list(self.titles), self.exposure
        for proposal in proposals:
            if proposal == self.titles:
                continue
            exposure = self.oracle.evaluate(proposal)
            better = is_better(exposure, best)
            titles = [new if take else old for new, old, take in zip(proposal, titles, better.tolist(), strict=True)]
            best = Exposure(exposure.loss.where(better, best.loss), exposure.reached.where(better, best.reached))
        if titles != self.titles:
            self.titles, self.exposure = titles, best
            yield list(titles)


def is_better(one: Exposure, other: Exposure) -> Tensor:
    """Returns whether one exposure is better than the other, for each item.

    The result is bool [items].

    An exposure is better if the goal is reached for more users, or for as many users with a higher loss.
    """
    return (one.reached > other.reached) | ((one.reached == other.reached) & (one.loss > other.loss))


def search_jointly(
    oracle: TextOracle, rng: Rng, draw: Callable[[int, np.random.Generator], str], evaluations: int
) -> Iterator[list[str]]:
    """Searches for the titles of items that share one outcome.

    This is the case in an untargeted attack. The search starts from one draw of all titles. Then it redraws about a
    quarter of the titles at a time, and keeps the new titles if they are better.

    Args:
        oracle: the oracle of an untargeted attack.
        rng: the source of all draws.
        draw: a function that returns a random title within budget for the item at an index.
        evaluations: the number of proposals that are evaluated.

    Yields:
        The best titles so far, whenever they change.
    """
    titles, best = oracle.titles(), oracle.evaluate(oracle.titles())
    for evaluation in range(evaluations):
        generator = rng.child("look", evaluation).numpy()
        redrawn = generator.random(len(titles)) < (REDRAWN if evaluation else 1.0)
        proposal = [draw(index, generator) if new else titles[index] for index, new in enumerate(redrawn.tolist())]
        exposure = oracle.evaluate(proposal)
        if not evaluation or bool(is_better(exposure, best)[0]):
            titles, best = proposal, exposure
            yield list(titles)
