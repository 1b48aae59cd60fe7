"""Tests what a cleaning defence sees and may change in the training data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api import Cleaned, Defense, Interactions, PluginError, Rng
from robench.engine.fit.sanitising import sanitise

ROWS = [[0, 1, 2], [2, 3], [], [4, 0, 1, 3], [1]]


def world(rows=ROWS, fakes=((0, 4), (1, 4))):
    """Returns interactions with times, in which the last rows belong to fake users."""
    real = Interactions.from_rows(rows, 5)
    return Interactions(real.indptr, real.items, real.times * 7 + 100, 5).appended(fakes)


def cleaner(function):
    """Returns a defence whose cleaning step is a function of the training data."""

    class Cleaner(Defense):
        def sanitise(self, train, rng):
            return function(train)

    return Cleaner()


def keep_all(train):
    return Cleaned(train, np.zeros(train.n_users))


def test_a_defence_that_keeps_everything_returns_the_very_data():
    train = world()
    result = sanitise(cleaner(keep_all), train, Rng(0))
    assert result.train is train
    np.testing.assert_array_equal(result.flagged, [0, 0, -1, 0, 0, 0, 0])


def test_the_order_of_rows_and_their_times_do_not_tell_the_fake_users():
    seen = []

    def last_rows(train):
        seen.append(train)
        dropped = np.arange(train.n_users) >= train.n_users - 20
        return Cleaned(train.without_users(dropped), dropped.astype(float))

    train = world([[user % 5, (user + 1) % 5] for user in range(180)], [[4, 0]] * 20)
    flagged = np.stack([sanitise(cleaner(last_rows), train, Rng(seed)).flagged == 1 for seed in range(50)])
    assert flagged.sum() == 50 * 20
    assert 0.07 < flagged[:, 180:].mean() < 0.13  # 20 of 200 users, drawn at random
    assert {tuple(times) for shown in seen for times in shown.times.reshape(-1, 2)} == {(0, 1)}


class Replay(Defense):
    """A hostile defence that draws the host's order again from its own stream."""

    def sanitise(self, train, rng):
        host = Rng(rng.seed, rng.path[:-1])
        orders = [host.child("sanitise-order"), host.child("sanitise-order", train.sha256())]
        scores = np.stack([stream.numpy().permutation(train.n_users) >= train.n_users - 20 for stream in orders])
        return Cleaned(train, scores.sum(0).astype(float))


def test_a_defence_cannot_draw_the_order_of_rows_again_from_its_own_stream():
    train = world([[user % 5, (user + 1) % 5] for user in range(180)], [[4, 0]] * 20)
    caught = [(sanitise(Replay(), train, Rng(seed)).suspicion[180:] > 0).mean() for seed in range(50)]
    assert 0.1 < np.mean(caught) < 0.3  # a fake user is among two random draws of 20 of 200 users with probability .19


def test_the_order_of_rows_follows_from_the_data_and_the_seed():
    seen = []

    def look(train):
        seen.append(train.items.tolist())
        return keep_all(train)

    rows = [[user % 5, (user + 1) % 5] for user in range(40)]
    for data, seed in [(rows, 0), (rows, 0), (rows, 1), ([*rows[::-1]], 0)]:
        sanitise(cleaner(look), world(data), Rng(seed))
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]
    assert seen[0] != seen[3]


def test_scores_and_rows_come_back_in_the_order_of_users():
    def drop_long_rows(train):
        return Cleaned(train.without_users(train.lengths() > 2), train.lengths())

    train = world()
    result = sanitise(cleaner(drop_long_rows), train, Rng(3))
    np.testing.assert_array_equal(result.suspicion, train.lengths())
    np.testing.assert_array_equal(result.flagged, [1, 0, -1, 1, 0, 0, 0])
    assert result.train.row(1).tolist() == [2, 3]
    np.testing.assert_array_equal(result.train.times, np.concatenate([[100, 107], [100], train.times[-4:]]))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.integers(0, 4), max_size=6), min_size=1, max_size=8), st.integers(0, 99), st.data())
def test_what_is_kept_is_bit_for_bit_what_was_there(rows, seed, data):
    train = world(rows)
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=len(train), max_size=len(train))), dtype=bool)
    kept[:1] = True
    wanted = {(user, tuple(train.only(kept).row(user))) for user in range(train.n_users)}
    by_row = {tuple(train.row(user)): [] for user in range(train.n_users)}
    for user, row in sorted(wanted):
        by_row[tuple(train.row(user))].append(list(row))

    def drop(seen):
        waiting = {row: list(answers) for row, answers in by_row.items()}
        return Cleaned(
            Interactions.from_rows([waiting[tuple(seen.row(user))].pop() for user in range(seen.n_users)], 5),
            np.zeros(seen.n_users),
        )

    after = sanitise(cleaner(drop), train, Rng(seed)).train
    assert sorted(map(tuple, map(after.row, range(train.n_users)))) == sorted(row for _, row in wanted)
    genuine = set(zip(train.users().tolist(), train.items.tolist(), train.times.tolist(), strict=True))
    assert set(zip(after.users().tolist(), after.items.tolist(), after.times.tolist(), strict=True)) <= genuine


def changed(train, row):
    """Returns the training data with another row in place of the longest one."""
    longest = int(train.lengths().argmax())
    return Interactions.from_rows([row if user == longest else train.row(user) for user in range(train.n_users)], 5)


HOSTILE = {
    "drops everybody": (
        lambda train: Cleaned(train.without_users(np.ones(train.n_users, bool)), np.zeros(train.n_users)),
        "dropped every interaction",
    ),
    "changes an item": (lambda t: Cleaned(changed(t, [4, 0, 1, 2]), np.zeros(7)), "it may only drop some"),
    "adds an item": (lambda t: Cleaned(changed(t, [4, 0, 1, 3, 2]), np.zeros(7)), "it may only drop some"),
    "moves an item": (lambda t: Cleaned(changed(t, [0, 4, 1, 3]), np.zeros(7)), "it may only drop some"),
    "repeats an item": (lambda t: Cleaned(changed(t, [4, 4]), np.zeros(7)), "it may only drop some"),
    "adds a row": (lambda t: Cleaned(t.appended([[1, 2]]), np.zeros(8)), "shape \\(8,\\) for 7 users"),
    "adds a row only": (lambda t: Cleaned(t.appended([[1, 2]]), np.zeros(7)), "returned 8 rows over 5 items"),
    "adds an item to the catalogue": (
        lambda t: Cleaned(Interactions(t.indptr, t.items, t.times, 6), np.zeros(7)),
        "returned 7 rows over 6 items",
    ),
    "scores too few users": (lambda t: Cleaned(t, np.zeros(3)), "shape \\(3,\\) for 7 users"),
    "scores with nan": (lambda t: Cleaned(t, np.full(7, np.nan)), "not finite numbers"),
    "scores in words": (lambda t: Cleaned(t, np.array(["fake"] * 7)), "not finite numbers"),
    "scores with lists": (lambda t: Cleaned(t, [[1], [1, 2]]), "not one number per user"),
    "keeps nothing at all": (lambda t: Cleaned(None, np.zeros(7)), "NoneType as the kept interactions"),
    "returns rows alone": (lambda t: t, "returned Interactions, not Cleaned"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_cleaning_is_refused_in_one_line(name):
    function, problem = HOSTILE[name]
    with pytest.raises(PluginError, match=problem) as caught:
        sanitise(cleaner(function), world(), Rng(0))
    assert "\n" not in str(caught.value)


def test_writing_into_the_shown_arrays_changes_no_real_row():
    def scribble(train):
        items = train.items.base if train.items.base is not None else train.items
        items.flags.writeable = True
        items[:] = 0
        return Cleaned(train, np.zeros(train.n_users))

    train = world()
    before = train.sha256()
    assert sanitise(cleaner(scribble), train, Rng(0)).train.sha256() == before
