"""Tests which interactions the natural corruptions change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api import Interactions, Rng
from robench.engine.fit.poisoning import poison
from robench.testing import CorruptionTests
from robench_plugins.attacks.corruption.cold_start import ColdStart
from robench_plugins.attacks.corruption.drop import Drop
from robench_plugins.attacks.corruption.end_drop import EndDrop
from robench_plugins.attacks.corruption.label_noise import LabelNoise
from robench_plugins.attacks.corruption.popularity_shift import PopularityShift
from robench_plugins.attacks.corruption.tail_drop import TailDrop
from robench_plugins.attacks.corruption.time_jitter import TimeJitter

ALL = [ColdStart, Drop, EndDrop, LabelNoise, PopularityShift, TailDrop, TimeJitter]
REMOVING = [ColdStart, Drop, EndDrop, PopularityShift, TailDrop]
TRAIN = Interactions.from_rows([[0, 1, 2, 3], [0, 1, 4], [0, 5], [6]], 8)


def rows(train):
    return [train.row(user).tolist() for user in range(train.n_users)]


def corrupted(attack, epsilon, train=TRAIN, seed=0):
    return poison(attack, train, targets=np.empty(0, np.int64), epsilon=epsilon, rng=Rng(seed))


class TestColdStart(CorruptionTests):
    attack = ColdStart


class TestDrop(CorruptionTests):
    attack = Drop


class TestEndDrop(CorruptionTests):
    attack = EndDrop


class TestLabelNoise(CorruptionTests):
    attack = LabelNoise


class TestReplacingLabels(CorruptionTests):
    attack, settings = LabelNoise, {"how": "replace"}


class TestPopularityShift(CorruptionTests):
    attack = PopularityShift


class TestTailDrop(CorruptionTests):
    attack = TailDrop


class TestTimeJitter(CorruptionTests):
    attack = TimeJitter


@pytest.mark.parametrize("attack", REMOVING)
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=8),
    epsilon=st.floats(0, 1.5),
    seed=st.integers(0, 5),
)
@settings(max_examples=30, deadline=None)
def test_removal_keeps_order_and_one_interaction_per_user(attack, lengths, epsilon, seed):
    generator = np.random.default_rng(seed)
    train = Interactions.from_rows([generator.permutation(15)[:n] for n in lengths], 15)
    result = corrupted(attack.make(), epsilon, train, seed)
    for before, after in zip(rows(train), rows(result.train), strict=True):
        assert bool(before) == bool(after)
        assert [item for item in before if item in after] == after
    assert result.achieved["changed_interactions"] == len(train) - len(result.train)


@pytest.mark.parametrize("attack", [Drop, PopularityShift, TailDrop])
def test_removal_spends_the_budget(attack):
    assert corrupted(attack.make(), 0.4).achieved["changed_interactions"] == 4


def test_a_budget_of_everything_leaves_one_interaction_per_user():
    assert [len(row) for row in rows(corrupted(Drop.make(), 1.0).train)] == [1, 1, 1, 1]


def test_cold_users_keep_their_last_interactions():
    assert rows(corrupted(ColdStart.make(keep=2), 1.0).train) == [[2, 3], [1, 4], [0, 5], [6]]


def test_a_cold_start_takes_one_user_after_the_other():
    train = Interactions.from_rows([list(range(10))] * 6, 10)
    lengths = [len(row) for row in rows(corrupted(ColdStart.make(keep=3), 0.35, train).train)]
    assert sorted(lengths) == [3, 3, 3, 10, 10, 10]


def test_an_end_drop_removes_the_last_interactions():
    assert rows(corrupted(EndDrop.make(n=2), 1.0).train) == [[0, 1], [0], [0], [6]]


def test_a_tail_drop_begins_with_the_rarest_items():
    # Items 2 to 6 occur once. User 2 keeps the popular item 0, and user 3 keeps the only interaction.
    assert rows(corrupted(TailDrop.make(), 0.4).train) == [[0, 1], [0, 1], [0], [6]]


def test_popularity_decides_what_a_shift_removes():
    train = Interactions.from_rows([[0, *range(1 + 9 * u, 10 + 9 * u)] for u in range(50)], 451)
    # The rate of an interaction with item 0 is 50, and that of any other is 1. So item 0 is 50 of 500 interactions.
    shares = {}
    for power in (-4.0, 0.0, 1.0):
        gone = train.counts() - corrupted(PopularityShift.make(power=power), 0.1, train).train.counts()
        shares[power] = gone[0] / 50
    assert shares[1.0] > 0.6
    assert 0 < shares[0.0] < 0.3
    assert shares[-4.0] == 0


def test_noise_has_new_items_and_keeps_the_genuine_order():
    result = corrupted(LabelNoise.make(), 0.5)
    for before, after in zip(rows(TRAIN), rows(result.train), strict=True):
        assert [item for item in after if item in before] == before
        assert len(set(after)) == len(after)
    assert len(result.train) == len(TRAIN) + 5
    assert result.achieved["changed_interactions"] == 5


def test_replacing_noise_keeps_the_length_of_rows():
    result = corrupted(LabelNoise.make(how="replace"), 0.5)
    np.testing.assert_array_equal(result.train.indptr, TRAIN.indptr)
    assert np.count_nonzero(result.train.items != TRAIN.items) == 5
    assert all(len(set(row)) == len(row) for row in rows(result.train))


def test_noise_ends_where_the_catalogue_ends():
    train = Interactions.from_rows([[0, 1, 2], [0]], 3)
    result = rows(corrupted(LabelNoise.make(), 1.0, train).train)
    assert (result[0], len(result[1])) == ([0, 1, 2], 2)


def test_noise_is_uniform_over_items():
    train = Interactions.from_rows([[user % 4] for user in range(4000)], 5)
    added = corrupted(LabelNoise.make(), 1.0, train).train.counts() - train.counts()
    np.testing.assert_allclose(added[:4], 750, atol=100)
    np.testing.assert_allclose(added[4], 1000, atol=100)


@pytest.mark.parametrize("window", [1, 3])
def test_jitter_moves_within_its_window(window):
    train = Interactions.from_rows([list(range(40))] * 5, 40)
    result = corrupted(TimeJitter.make(window=window), 0.05, train)
    assert 0 < result.achieved["changed_interactions"] <= 10
    for row in rows(result.train):
        assert sorted(row) == list(range(40))
        # A place may also shift by the moves of other items, of which there are at most 10.
        assert np.abs(np.array(row) - np.arange(40)).max() <= window + 10


def test_a_jitter_of_one_item_moves_it_by_at_most_the_window():
    train = Interactions.from_rows([list(range(100))], 100)
    moves = set()
    for seed in range(100):
        row = rows(corrupted(TimeJitter.make(window=3), 0.01, train, seed).train)[0]
        (shifts,) = np.nonzero(np.array(row) != np.arange(100))
        if len(shifts) > 2:  # a swap of two neighbours does not tell which of them has moved
            first, last = int(shifts[0]), int(shifts[-1])
            moves.add(last - first if row[last] == first else first - last)
        elif len(shifts):
            moves.add(1)
    assert {-3, -2, 1, 2, 3} == moves
