"""Tests what the host takes from the votes of a model, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest

from robench.api import Interactions
from robench.api.errors import PluginError
from robench.api.models.votes import Votes
from robench.engine.rank.chunk import build_chunk
from robench.engine.rank.votes import collect_votes
from robench.store.certificate import LENGTH, Voting

ITEMS, USERS = 14, 3
HISTORY = Interactions.from_rows([[0, 1], [2], []], ITEMS)
HELD = Interactions.from_rows([[3, 4], [3, 3], [5]], ITEMS)
COUNTS = np.array(
    [
        [0, 0, 9, 8, 1, 7, 6, 5, 4, 3, 2, 0, 0, 0],
        [5, 4, 0, 9, 0, 0, 1, 2, 3, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
)
GOOD = Votes(COUNTS, models=50, sample=2, users=20, each=1)


class Voter:
    """A model that gives fixed votes."""

    def __init__(self, votes):
        self.given = votes

    def votes(self, users, history):
        return self.given and replace(self.given, counts=self.given.counts[users])


def lists(counts):
    """Returns the list of each user, ordered by votes, without items of the history."""
    counts = counts.copy()
    for user in range(USERS):
        counts[user, HISTORY.row(user)] = -1
    top = np.argsort(-counts, axis=1, kind="stable")[:, :LENGTH]
    return np.where(np.take_along_axis(counts, top, axis=1) < 0, -1, top)


def collect(votes, top=None, size=2):
    users = np.arange(USERS)
    chunks = [build_chunk(part, HISTORY, HELD) for part in (users[:size], users[size:]) if len(part)]
    return collect_votes(Voter(votes), chunks, HISTORY, lists(COUNTS) if top is None else top, 20)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_votes_are_split_into_those_of_held_out_items_and_the_largest_others(size):
    arrays, voting = collect(GOOD, size=size)
    assert arrays["item_votes"].tolist() == [8, 1, 9, 0, 0], "the second copy of an item is not in the list again"
    assert arrays["other_votes"].tolist() == [
        [9, 7, 6, 5, 4, 3, 2, 0, 0, 0],
        [5, 4, 3, 2, 1, 0, 0, 0, 0, 0],
        [0] * 10,
    ]
    assert voting == Voting(50, 2, 20, 1, USERS * ITEMS)


def test_a_model_without_votes_has_none():
    assert collect(None) is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"users": 21}, "20 have items"),
        ({"users": 19}, "20 have items"),
        ({"models": 8}, "cannot give"),
        ({"models": 40}, "more than 1 items per base model"),
        ({"sample": 21}, "impossible numbers"),
        ({"sample": 0}, "impossible numbers"),
        ({"each": 0}, "impossible numbers"),
        ({"counts": COUNTS - 1}, "cannot give"),
        ({"counts": COUNTS.astype(float)}, "whole numbers"),
        ({"counts": COUNTS[:, :-1]}, "whole numbers"),
    ],
)
def test_impossible_votes_are_refused(change, problem):
    with pytest.raises(PluginError, match=problem):
        collect(replace(GOOD, **change))


def test_lists_that_votes_do_not_order_are_refused():
    top = lists(COUNTS)
    top[0, 0] = 11  # an item with no votes in place of the one with the most
    with pytest.raises(PluginError, match="outside a list"):
        collect(GOOD, top)
