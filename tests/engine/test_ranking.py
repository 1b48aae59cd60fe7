import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api.data import Interactions
from robench.api.errors import PluginError
from robench.engine.ranking import ask, candidates, held_out_ranks, mask_known, target_ranks, top_items


@st.composite
def worlds(draw):
    n_items = draw(st.integers(3, 14))
    n_users = draw(st.integers(1, 5))
    rows, held = [], []
    for _ in range(n_users):
        order = draw(st.permutations(range(n_items)))
        n_known = draw(st.integers(0, n_items - 2))
        n_held = draw(st.integers(1, n_items - n_known))
        rows.append(order[:n_known])
        held.append(order[n_known : n_known + n_held])
    levels = draw(st.integers(1, 4))  # few levels make many ties
    scores = draw(st.lists(st.integers(0, levels), min_size=n_users * n_items, max_size=n_users * n_items))
    return rows, held, np.array(scores, dtype=np.float32).reshape(n_users, n_items)


@given(worlds())
@settings(deadline=None)
def test_ranks_equal_a_naive_double_loop(world):
    rows, held, raw = world
    n_items = raw.shape[1]
    users = np.arange(len(rows))
    questions = ask(users, Interactions.from_rows(rows, n_items), Interactions.from_rows(held, n_items))
    scores = mask_known(torch.from_numpy(raw), questions)
    ranks = held_out_ranks(scores, questions.held)
    for user in users:
        for place, item in enumerate(held[user]):
            rank = 1
            for other in range(n_items):
                if other in rows[user] or other == item:
                    continue
                above = raw[user, other] > raw[user, item]
                tied = raw[user, other] == raw[user, item]
                rank += bool(above or (tied and (other not in held[user] or other < item)))
            assert ranks[user, place] == rank
        assert (ranks[user, len(held[user]) :] == 0).all()
    assert candidates(questions, n_items).tolist() == [n_items - len(set(row)) for row in rows]


@given(worlds())
@settings(deadline=None)
def test_target_ranks_and_top_lists_equal_naive_ones(world):
    rows, held, raw = world
    n_items = raw.shape[1]
    users = np.arange(len(rows))
    questions = ask(users, Interactions.from_rows(rows, n_items), Interactions.from_rows(held, n_items))
    scores = mask_known(torch.from_numpy(raw), questions)
    targets = np.array([0, n_items - 1])
    found = target_ranks(scores, torch.from_numpy(targets))
    top = top_items(scores, 10)
    for user in users:
        free = [i for i in range(n_items) if i not in rows[user]]
        for t, target in enumerate(targets):
            better = sum(raw[user, i] > raw[user, target] for i in free)
            assert found[t, user] == (0 if target in rows[user] else 1 + better)
        best = sorted(free, key=lambda i: (-raw[user, i], i))[:10]
        assert top[user].tolist() == best + [-1] * (10 - len(best))


def test_known_items_are_masked_and_held_out_items_never():
    rows, held = Interactions.from_rows([[0, 1, 2]], 4), Interactions.from_rows([[2]], 4)
    questions = ask(np.array([0]), rows, held)
    scores = mask_known(torch.tensor([[9.0, 8.0, 1.0, 2.0]]), questions)
    assert scores.tolist() == [[-np.inf, -np.inf, 1.0, 2.0]]
    assert held_out_ranks(scores, questions.held).tolist() == [[2]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_an_error(bad):
    questions = ask(np.array([0]), Interactions.from_rows([[0]], 3), Interactions.from_rows([[1]], 3))
    with pytest.raises(PluginError, match="not finite"):
        mask_known(torch.tensor([[1.0, bad, 0.0]]), questions)
