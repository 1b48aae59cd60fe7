import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api.data import Interactions
from robench.api.errors import PluginError
from robench.engine.rank import ranking
from robench.engine.rank.chunk import FEWEST, build_chunk, chunk_size, count_candidates, mask_known, split_users
from robench.engine.rank.ranking import held_out_ranks, rank_items
from robench.engine.rank.top import top_items


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
    chunk = build_chunk(users, Interactions.from_rows(rows, n_items), Interactions.from_rows(held, n_items))
    scores = mask_known(torch.from_numpy(raw), chunk)
    ranks = held_out_ranks(scores, chunk.held)
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
    assert count_candidates(chunk, n_items).tolist() == [n_items - len(set(row)) for row in rows]


@given(worlds())
@settings(deadline=None)
def test_judged_ranks_and_top_lists_equal_naive_ones(world):
    rows, held, raw = world
    n_items = raw.shape[1]
    users = np.arange(len(rows))
    chunk = build_chunk(users, Interactions.from_rows(rows, n_items), Interactions.from_rows(held, n_items))
    targets = np.array([0, n_items - 1])
    given_scores = raw.copy()
    ranking = rank_items(given_scores, chunk, targets)
    np.testing.assert_array_equal(given_scores, raw)
    masked = mask_known(torch.from_numpy(raw), chunk)
    again = rank_items(masked.numpy(), chunk, targets, masked=True)
    assert torch.equal(ranking.ranks, held_out_ranks(masked, chunk.held))
    assert torch.equal(ranking.ranks, again.ranks)
    np.testing.assert_array_equal(ranking.top, again.top)
    np.testing.assert_array_equal(ranking.targets, again.targets)
    for user in users:
        free = [i for i in range(n_items) if i not in rows[user]]
        for t, target in enumerate(targets):
            better = sum(raw[user, i] > raw[user, target] for i in free)
            assert ranking.targets[t, user] == (0 if target in [*rows[user], *held[user]] else 1 + better)
        best = sorted(free, key=lambda i: (-raw[user, i], i))[:10]
        assert ranking.top[user].tolist() == best + [-1] * (10 - len(best))


@given(
    n_items=st.sampled_from([15, 16, 159, 160, 163, 700, 4095, 4100, 5000, 33_000]),
    levels=st.sampled_from([1, 2, 40, 3000, 10**6]),
    known=st.sampled_from([0.0, 0.1, 0.9, 1.0]),
    seed=st.integers(0, 10**6),
)
@settings(deadline=None, max_examples=60)
def test_top_lists_by_blocks_equal_a_full_stable_sort(n_items, levels, known, seed):
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, levels, (5, n_items)).astype(np.float32)
    scores[generator.random(scores.shape) < known] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    expected = np.where(np.take_along_axis(scores, order, 1) > -np.inf, order, -1)
    np.testing.assert_array_equal(top_items(scores), expected)


def test_many_held_out_items_and_rows_in_several_groups(monkeypatch):
    generator = np.random.default_rng(0)
    raw = generator.integers(0, 30, (7, 200)).astype(np.float32)
    orders = [generator.permutation(200) for _ in range(7)]
    history = Interactions.from_rows([[*row[:20], *row[:5], row[20]] for row in orders], 200)  # with repeated items
    held = Interactions.from_rows(
        [row[20 : 20 + count] for row, count in zip(orders, (1, 2, 32, 33, 90, 150, 180), strict=True)], 200
    )
    chunk = build_chunk(np.arange(7), history, held)
    assert count_candidates(chunk, 200).tolist() == [180] * 7
    monkeypatch.setattr(ranking, "CACHED", 400)
    grouped = rank_items(raw, chunk, np.array([3]))
    monkeypatch.setattr(ranking, "COUNTED", 10**9)
    monkeypatch.setattr(ranking, "CACHED", 10**9)
    whole = rank_items(raw, chunk, np.array([3]))
    assert torch.equal(grouped.ranks, whole.ranks)
    np.testing.assert_array_equal(grouped.targets, whole.targets)
    np.testing.assert_array_equal(grouped.top, whole.top)


def test_an_array_that_cannot_be_written_is_judged_all_the_same():
    chunk = build_chunk(np.array([0, 1]), Interactions.from_rows([[0], [1]], 3), Interactions.from_rows([[1], [0]], 3))
    row = np.array([3.0, 2.0, 1.0], dtype=np.float32)
    ranking = rank_items(np.broadcast_to(row, (2, 3)), chunk)
    assert ranking.ranks.tolist() == [[1], [1]]
    assert row.tolist() == [3.0, 2.0, 1.0]


def test_scores_whose_sum_overflows_are_finite():
    chunk = build_chunk(np.array([0]), Interactions.from_rows([[0]], 3), Interactions.from_rows([[1]], 3))
    raw = np.array([[3e38, 2e38, 3e38]], dtype=np.float32)
    assert rank_items(raw, chunk).ranks.tolist() == [[2]]
    assert held_out_ranks(mask_known(torch.from_numpy(raw), chunk), chunk.held).tolist() == [[2]]


def test_chunks_are_fixed_by_the_catalogue():
    assert [chunk_size(n) for n in (1, 1303, 6144, 6145, 40_000, 100_000, 10**7)] == [
        1024,
        1024,
        1024,
        512,
        128,
        32,
        32,
    ]


@pytest.mark.parametrize("n_users", [0, 1, 3, 16, 17, 19, 20, 31, 32, 33])
def test_no_chunk_but_an_only_one_has_very_few_users(n_users):
    users = np.arange(n_users)[::-1]
    parts = split_users(users, 16)
    np.testing.assert_array_equal(np.concatenate([*parts, users[:0]]), users)
    assert len(parts) == -(-n_users // 16)
    assert all(min(n_users, FEWEST) <= len(part) <= 16 for part in parts)


def test_known_items_are_masked_and_held_out_items_never():
    rows, held = Interactions.from_rows([[0, 1, 2]], 4), Interactions.from_rows([[2]], 4)
    chunk = build_chunk(np.array([0]), rows, held)
    scores = mask_known(torch.tensor([[9.0, 8.0, 1.0, 2.0]]), chunk)
    assert scores.tolist() == [[-np.inf, -np.inf, 1.0, 2.0]]
    assert held_out_ranks(scores, chunk.held).tolist() == [[2]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_an_error(bad):
    chunk = build_chunk(np.array([0]), Interactions.from_rows([[0]], 3), Interactions.from_rows([[1]], 3))
    with pytest.raises(PluginError, match="not finite"):
        mask_known(torch.tensor([[1.0, bad, 0.0]]), chunk)
    for place in range(3):  # an item that is masked, held out, or neither
        raw = np.ones((1, 3), dtype=np.float32)
        raw[0, place] = bad
        with pytest.raises(PluginError, match="not finite"):
            rank_items(raw, chunk)
