"""Greedy and joint title searches, shared by the attacks on titles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from robench.api import Rng, TextOracle
from robench.api.attacks.text import Exposure, edits_between

if TYPE_CHECKING:
    from torch import Tensor

Draw = Callable[[int, int, np.random.Generator], str]
REDRAWN = 0.25  # the share of the titles that a joint search redraws at a time
CHECKED_AT_ONCE = 64  # the number of titles that one check covers, because the host may read them with a language model
MOST_CHECKED = 10_000  # the largest number of titles of an item that are checked in one step of a search
TRIES = 20  # the largest number of draws per title until the host accepts one


class TitleSearch:
    """The state of a greedy search: the best title of every attacked item so far.

    A title is better if the attack reaches its goal for more users, or for equally many users with a higher loss. The
    loss alone would be misleading, because the loss is a mean over all users. A move from rank 900 to 300 for every
    user would count more than a move into the top k for a few users.

    Promoted items have separate outcomes, so each item takes its best proposal. In an untargeted attack all items share
    one outcome, so all of them take the same proposal.

    Args:
        oracle: the oracle, which knows the items that may get new titles.

    Attributes:
        genuine: the genuine titles, one per item.
        budget: the maximum number of edits in each title, one number per item.
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

    def accepted(self, index: int, titles: Iterable[str], count: int) -> list[str]:
        """Returns the first ``count`` titles that the host would accept for an item.

        Of the titles within the budget, only the first 10,000 are checked.

        Args:
            index: the item, in the order of the oracle.
            titles: the titles, the best first.
            count: the maximum number of titles to return.
        """
        found: list[str] = []
        some = islice((title for title in titles if self.fits(index, title)), MOST_CHECKED)
        while len(found) < count and (part := list(islice(some, CHECKED_AT_ONCE))):
            passes = self.oracle.passes([(index, title) for title in part])
            found += [title for title, accepted in zip(part, passes, strict=True) if accepted]
        return found[:count]

    def within_budget(self, proposal: Sequence[str]) -> list[str]:
        """Returns the proposal without the titles that the host would refuse.

        The best titles so far replace them.
        """
        passes = self.oracle.passes([*enumerate(proposal)])
        return [new if take else old for new, old, take in zip(proposal, self.titles, passes, strict=True)]

    def side_by_side(self, titles: Sequence[Iterable[str]], count: int) -> Iterator[list[str]]:
        """Yields at most ``count`` accepted proposals, for all items at once.

        The n-th proposal holds the n-th accepted title of every item. An item without a further title keeps its best
        title so far.

        Args:
            titles: the titles that are proposed for each item, the best first.
            count: the maximum number of proposals.
        """
        columns = [
            self.accepted(index, (title for title in some if title != self.titles[index]), count)
            for index, some in enumerate(titles)
        ]
        for row in range(max(map(len, columns))):
            yield [column[row] if row < len(column) else self.titles[index] for index, column in enumerate(columns)]

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

    An exposure is better if the goal is reached for more users, or for equally many users with a higher loss.
    """
    return (one.reached > other.reached) | ((one.reached == other.reached) & (one.loss > other.loss))


def accepted_draws(oracle: TextOracle, rng: Rng, draw: Draw, items: Iterable[int]) -> dict[int, str]:
    """Returns one random title per item that the host accepts.

    An item is drawn at most 20 times, with fewer edits each time. An item without an accepted draw is left out.

    Args:
        oracle: the oracle.
        rng: the source of all draws.
        draw: a function that returns a random title for the item at an index, with at most a given number of edits.
        items: the items, in the order of the oracle.
    """
    budget = oracle.budget()
    accepted, left = dict[int, str](), [index for index in items if budget[index]]
    for number in range(TRIES):
        most = [-(-budget[index] * (TRIES - number) // TRIES) for index in left]
        drawn = [
            (index, draw(index, edits, rng.child("draw", number, index).numpy()))
            for index, edits in zip(left, most, strict=True)
        ]
        passes = oracle.passes(drawn)
        accepted |= dict(one for one, take in zip(drawn, passes, strict=True) if take)
        left = [index for index, take in zip(left, passes, strict=True) if not take]
    return accepted


def search_jointly(oracle: TextOracle, rng: Rng, draw: Draw, evaluations: int, *, rules: bool) -> Iterator[list[str]]:
    """Searches for the titles of items that share one outcome.

    This is the case in an untargeted attack. The search starts from one draw of all titles. Then it redraws about a
    quarter of the titles at a time, and keeps the new titles if they are better.

    Args:
        oracle: the oracle of an untargeted attack.
        rng: the source of all draws.
        draw: a function that returns a random title for the item at an index, with at most a given number of edits.
        evaluations: the number of proposals that are evaluated.
        rules: whether the threat model has rules for titles. If so, an item keeps its title unless the host accepts one
            of several draws.

    Yields:
        The best titles so far, whenever they change.
    """
    titles, best, budget = oracle.titles(), oracle.evaluate(oracle.titles()), oracle.budget()
    for evaluation in range(evaluations):
        stream = rng.child("look", evaluation)
        generator = stream.numpy()
        chosen = np.flatnonzero(generator.random(len(titles)) < (REDRAWN if evaluation else 1.0)).tolist()
        if rules:
            new = accepted_draws(oracle, stream, draw, chosen)
        else:
            new = {index: draw(index, budget[index], generator) for index in chosen}
        proposal = [new.get(index, title) for index, title in enumerate(titles)]
        exposure = oracle.evaluate(proposal)
        if not evaluation or bool(is_better(exposure, best)[0]):
            titles, best = proposal, exposure
            yield list(titles)
