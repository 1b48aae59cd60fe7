"""Tests edits of histories and their first-order slopes.

The expected values come from plain lists and dense arithmetic.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from robench.api import HistoryConfig, Rng
from robench.api.attacks.edits import edited, random_edits
from robench.api.attacks.history import DELETE, INSERT, SUBSTITUTE
from robench.api.attacks.slopes import Slopes
from robench_plugins.attacks.history.greedy_search import every_edit

N_ITEMS = 9
ROWS = st.lists(st.lists(st.integers(0, N_ITEMS - 1), unique=True, max_size=6), min_size=1, max_size=4)


def table(rows):
    width = max(len(row) for row in rows)
    return torch.tensor([row + [-1] * (width - len(row)) for row in rows], dtype=torch.int64).reshape(len(rows), width)


def lists(rows):
    return [[item for item in row if item >= 0] for row in rows.tolist()]


def by_hand(row, kind, place, item):
    row = list(row)
    if kind == SUBSTITUTE:
        row[place] = item
    elif kind == INSERT:
        row.insert(place, item)
    elif kind == DELETE:
        del row[place]
    return row


class Asked:
    """A stub oracle with the methods that random edits call."""

    n_items = N_ITEMS

    def __init__(self, rows, forbidden):
        self.forbidden = forbidden
        self._rows = rows

    def rows(self):
        return self._rows.clone()

    def insertable(self, rows=None):
        free = torch.ones(len(self._rows), N_ITEMS, dtype=torch.bool)
        for user, row in enumerate(lists(self._rows if rows is None else rows)):
            free[user, [*row, self.forbidden]] = False
        return free


@given(ROWS, st.data())
def test_an_edit_is_that_of_a_list(rows, data):
    kinds, places = [], []
    for row in rows:
        kinds.append(data.draw(st.sampled_from([INSERT, -1] if not row else [SUBSTITUTE, INSERT, DELETE, -1])))
        places.append(
            data.draw(st.integers(0, len(row) - (kinds[-1] != INSERT)) if row or kinds[-1] == INSERT else st.just(0))
        )
    items = [7] * len(rows)
    result = edited(table(rows), *(torch.tensor(part) for part in (kinds, places, items)))
    assert lists(result) == [by_hand(*parts) for parts in zip(rows, kinds, places, items, strict=True)]
    length = (result >= 0).sum(1, keepdim=True)
    assert torch.equal(result >= 0, torch.arange(result.shape[1]) < length), "padding stands between items"


@given(ROWS, st.integers(0, N_ITEMS - 1), st.sets(st.sampled_from(["substitute", "insert", "delete"]), min_size=1))
def test_random_edits_are_among_the_edits_that_are_allowed(rows, forbidden, edits):
    oracle = Asked(table(rows), forbidden)
    edits = tuple(sorted(edits))
    uniform = torch.from_numpy(Rng(0).numpy().random((len(rows), 40, 3)))
    uniform[:, 0], uniform[:, 1] = 0.0, 1 - 2**-53
    kind, place, item = random_edits(oracle, oracle.rows(), uniform, edits)
    allowed = [set() for _ in rows]
    for kinds, places, items in every_edit(oracle, oracle.rows(), edits, at_end=False):
        for user in range(len(rows)):
            if kinds[user] >= 0:
                allowed[user].add(tuple(by_hand(rows[user], int(kinds[user]), int(places[user]), int(items[user]))))
    for draw in range(40):
        drawn = lists(edited(oracle.rows(), kind[:, draw], place[:, draw], item[:, draw]))
        for user, row in enumerate(rows):
            assert tuple(drawn[user]) in allowed[user] or (not allowed[user] and drawn[user] == row)


def test_every_edit_is_every_edit():
    rows = [[0, 1], [2]]
    kinds = ("substitute", "insert", "delete")
    result = list(every_edit(Asked(table(rows), 8), table(rows), kinds, at_end=False))
    # Each free item may replace any of the n items, or be inserted at n + 1 places. Each of the n items may be deleted.
    assert sum(int((kind >= 0).sum()) for kind, _, _ in result) == (2 + 3) * 6 + 2 + (1 + 2) * 7 + 1
    # At the end, each free item may be inserted at one place.
    result = list(every_edit(Asked(table(rows), 8), table(rows), kinds, at_end=True))
    assert sum(int((kind >= 0).sum()) for kind, _, _ in result) == (2 + 1) * 6 + 2 + (1 + 1) * 7 + 1


@pytest.mark.parametrize("shared", [False, True])
def test_the_steepest_substitutions_are_those_of_dense_slopes(shared):
    generator = torch.Generator().manual_seed(0)
    present = torch.tensor([[0, 3, 5], [2, -1, -1]])
    place = torch.tensor([[4, 5, 6], [0, -1, -1]])
    vectors = torch.randn(N_ITEMS, 4, generator=generator)
    gradient = torch.randn(2, 1 if shared else 3, 4, generator=generator)
    slopes = Slopes(gradient, place, present, vectors)
    allowed = torch.rand(2, N_ITEMS, generator=generator) < 0.6
    places, items, values = slopes.steepest(30, allowed)
    for user in range(2):
        by_pair = {
            (int(place[user, w]), j): float(
                gradient[user, 0 if shared else w] @ (vectors[j] - vectors[present[user, w]])
            )
            for w in range(3)
            for j in range(N_ITEMS)
            if place[user, w] >= 0 and allowed[user, j] and j != present[user, w]
        }
        kept = places[user] >= 0
        result = list(zip(places[user][kept].tolist(), items[user][kept].tolist(), strict=True))
        assert sorted(result) == sorted(by_pair)[: len(result)] if len(by_pair) <= 30 else len(result) == 30
        expected = sorted(by_pair.values(), reverse=True)[:30]
        np.testing.assert_allclose(values[user][kept], expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose([by_pair[pair] for pair in result], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("edits", [[], ["insert", "insert"], ["swap"]])
def test_kinds_of_edits_are_named_once(edits):
    with pytest.raises(ValidationError):
        HistoryConfig(edits=edits)
