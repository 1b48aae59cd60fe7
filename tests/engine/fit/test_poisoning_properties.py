"""Tests the budget and the isolation of fake users on random data."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api import Interactions, Rng
from robench.api.data import TrainData
from robench.engine.fit.poisoning import poison
from robench.testing.worlds import catalogue, fitted, measured_victim
from robench_plugins.attacks.poisoning.bandwagon import Bandwagon
from robench_plugins.attacks.poisoning.copy_profile import CopyProfile
from robench_plugins.attacks.poisoning.random_profiles import RandomProfiles
from robench_plugins.attacks.poisoning.segment import Segment
from robench_plugins.models.item_knn import ItemKnn
from robench_plugins.models.popularity import Popularity

N_ITEMS = 14
TARGETS = np.array([2, 11])
ROWS = st.lists(st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=6, unique=True), min_size=4, max_size=12)
ATTACKS = [RandomProfiles, Bandwagon, Segment, CopyProfile]


def poisoned_by(attack, rows, epsilon, seed=0, **more):
    train = Interactions.from_rows(rows, N_ITEMS)
    return train, poison(attack.make(**more), train, targets=TARGETS, epsilon=epsilon, rng=Rng(seed))


@pytest.mark.parametrize("attack", ATTACKS)
@given(rows=ROWS, epsilon=st.just(0.0) | st.floats(0, 1.5), size=st.none() | st.integers(2, 20), seed=st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_the_budget_holds_and_real_rows_stay_bit_for_bit(attack, rows, epsilon, size, seed):
    train, poisoned = poisoned_by(attack, rows, epsilon, seed, profile_size=size)
    n, after = train.n_users, poisoned.train
    most = min(size or max(int(np.median(train.lengths())), 2), N_ITEMS)
    assert after.n_users - n == math.ceil(round(epsilon * n, 9)) == poisoned.achieved["fake_users"]
    assert after.indptr[: n + 1].tobytes() == train.indptr.tobytes()
    assert after.items[: train.indptr[-1]].tobytes() == train.items.tobytes()
    assert after.times[: train.indptr[-1]].tobytes() == train.times.tobytes()
    for user in range(n, after.n_users):
        row = after.row(user)
        assert len(row) == len(set(row.tolist())) <= most
        assert row.min() >= 0
        assert row.max() < N_ITEMS
    assert (after is train) == (after.n_users == n)


def world_of(rows, held, profiles=()):
    """Returns training data with fake users, and one held-out item per real user."""
    train = Interactions.from_rows(rows, N_ITEMS).appended(profiles)
    empty = Interactions.from_rows([[]] * len(rows), N_ITEMS)
    test = Interactions.from_rows([[item] for item in held], N_ITEMS)
    return TrainData(train, empty, catalogue(N_ITEMS)), test


@st.composite
def worlds(draw):
    """Draws the rows of users, and for each user a held-out item outside the row."""
    rows = draw(ROWS)
    held = [draw(st.sampled_from(sorted({*range(N_ITEMS)} - {*row}))) for row in rows]
    return rows, held


@given(world=worlds(), seed=st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_fakes_are_never_evaluated_and_holders_of_a_target_do_not_count(world, seed):
    rows, held = world
    _, poisoned = poisoned_by(Bandwagon, rows, 0.5, seed)
    fakes = [poisoned.train.row(user) for user in range(len(rows), poisoned.train.n_users)]
    data, test = world_of(rows, held, fakes)
    model, _ = fitted(Popularity.make(), data)
    arrays = measured_victim(model, real_part(data), test).clean(TARGETS).arrays
    assert arrays["users"].tolist() == list(range(len(rows)))
    assert arrays["target_ranks"].shape == (len(TARGETS), len(rows))
    holds = np.array([[t in row or t == y for row, y in zip(rows, held, strict=True)] for t in TARGETS])
    np.testing.assert_array_equal(arrays["target_ranks"] == 0, holds)


def real_part(data):
    """Returns the data without fake users.

    Histories at test time come from these data.
    """
    train = Interactions.from_rows([data.train.row(user) for user in range(data.n_real_users)], N_ITEMS)
    return TrainData(train, data.validation, data.catalogue)


@pytest.mark.parametrize("model", [Popularity, ItemKnn])
@given(world=worlds(), data=st.data())
@settings(max_examples=15, deadline=None)
def test_the_order_of_fake_users_is_irrelevant(model, world, data):
    rows, held = world
    _, poisoned = poisoned_by(RandomProfiles, rows, 1.0)
    fakes = [poisoned.train.row(user) for user in range(len(rows), poisoned.train.n_users)]
    order = data.draw(st.permutations(range(len(fakes))))
    scores = []
    for some in (fakes, [fakes[place] for place in order]):
        whole, _ = world_of(rows, held, some)
        fit, _ = fitted(model.make(), whole)
        scores.append(fit.scores(np.arange(len(rows)), real_part(whole).train))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5, atol=1e-6)
