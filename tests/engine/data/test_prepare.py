from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api.data import Item, joined
from robench.api.dataset import DatasetConfig, Ratings
from robench.api.errors import DataError, SealedError
from robench.engine.data.events import k_core
from robench.engine.data.prepare import prepare
from robench.engine.data.prepared import Prepared
from robench.engine.data.targets import choose_targets, evaluated_users
from robench.spec import Part, TargetChoice, UserSample

SPLITS = [
    Part("leave-last-out", {"seed": 0}, "s"),
    Part("random-ratio", {"ratios": [8, 1, 1], "seed": 0}, "s"),
    Part("global-time", {"validation": 0.1, "test": 0.1, "seed": 0}, "s"),
]


@st.composite
def logs(draw):
    rows = draw(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9), st.integers(0, 50)), min_size=1, max_size=80))
    users, items, times = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return Ratings(users, items, times)


@pytest.mark.parametrize("split", SPLITS, ids=[s.name for s in SPLITS])
@given(log=logs())
@settings(deadline=None, max_examples=60)
def test_a_split_is_a_partition_in_time_order(split, log):
    data = prepare(log, DatasetConfig(), split)
    events = {}
    for u, i, t in zip(log.users.tolist(), log.items.tolist(), log.times.tolist(), strict=True):
        events[str(u), str(i)] = min(t, events.get((str(u), str(i)), t))  # of repeated events, the earliest is kept
    times = {}
    for part in (data.train, data.validation, data.test):
        for user in range(part.n_users):
            rows = slice(part.indptr[user], part.indptr[user + 1])
            assert (np.diff(part.times[rows]) >= 0).all()
            for item, time in zip(part.items[rows], part.times[rows], strict=True):
                key = (data.user_ids[user], data.catalogue.ids[item])
                assert key not in times
                times[key] = time
    assert times == events


@given(log=logs())
@settings(deadline=None, max_examples=60)
def test_leave_last_out_holds_out_the_last_and_validates_on_the_one_before(log):
    data = prepare(log, DatasetConfig(), SPLITS[0])
    for user in range(data.train.n_users):
        sizes = [len(part.row(user)) for part in (data.train, data.validation, data.test)]
        assert sizes in ([sum(sizes), 0, 0], [sum(sizes) - 2, 1, 1])
        assert (sizes[1] == 0) == (sum(sizes) < 3)
        if sizes[2]:
            times = [part.times[part.indptr[user + 1] - 1] for part in (data.train, data.validation, data.test)]
            assert times == sorted(times)


@given(log=logs(), per_user=st.integers(1, 4), per_item=st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_the_core_is_the_largest_in_which_everybody_has_enough(log, per_user, per_item):
    core = np.flatnonzero(k_core(log.users, log.items, per_user, per_item))
    if len(core):
        assert np.bincount(log.users[core])[log.users[core]].min() >= per_user
        assert np.bincount(log.items[core])[log.items[core]].min() >= per_item
    # Removing one row at a time leaves the same rows, so the core is the largest possible one.
    left = set(range(len(log.users)))
    while True:
        users = np.bincount(log.users[sorted(left)], minlength=7) if left else np.zeros(7)
        items = np.bincount(log.items[sorted(left)], minlength=10) if left else np.zeros(10)
        weak = {r for r in left if users[log.users[r]] < per_user or items[log.items[r]] < per_item}
        if not weak:
            break
        left -= weak
    assert set(core.tolist()) == left


@pytest.mark.parametrize("repeats", ["first", "last", "all"])
@pytest.mark.parametrize("split", SPLITS, ids=[s.name for s in SPLITS])
@given(log=logs(), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=25)
def test_the_order_of_rows_changes_nothing_if_there_are_times(split, repeats, log, seed):
    ratings = np.random.default_rng(seed).integers(1, 6, len(log.users)) / 1.0
    config = DatasetConfig(repeats=repeats, min_rating=2)
    n = len(log.users)
    orders = [np.arange(n), np.arange(n)[::-1], np.random.default_rng(seed + 1).permutation(n)]
    contents = set()
    for order in orders:
        rows = Ratings(log.users[order], log.items[order], log.times[order] // 10, ratings[order])
        try:
            contents.add(prepare(rows, config, split).to_bytes())
        except DataError as error:
            contents.add(str(error))
    assert len(contents) == 1


def test_a_held_out_repeat_is_no_question():
    log = Ratings(np.array([1, 1, 1, 1, 2, 2, 2]), np.array([5, 6, 7, 5, 5, 6, 6]), np.arange(7))
    data = prepare(log, DatasetConfig(repeats="all"), SPLITS[0])
    assert [data.train.row(user).tolist() for user in (0, 1)] == [[0, 1], [0]]
    assert [data.validation.row(user).tolist() for user in (0, 1)] == [[2], [1]]
    assert len(data.test) == 0  # item 5 of user 1 is in training, and item 6 of user 2 in validation
    assert "2 held-out interactions repeat an item that the user has, and are dropped" in data.summary.notes
    assert (data.summary.repeats, data.summary.interactions, data.summary.outside_core) == (2, 5, 0)
    assert data.summary.dropped_repeats == 2
    assert not any("kept" in note for note in data.summary.notes)


def test_the_core_counts_distinct_users_and_items_if_repeats_are_kept():
    users, items = np.array([1, 1, 1, 2, 2, 3, 3]), np.array([5, 5, 5, 5, 6, 5, 6])
    data = prepare(
        Ratings(users, items, np.arange(7)), DatasetConfig(repeats="all", min_user_interactions=2), SPLITS[0]
    )
    assert data.user_ids == ("2", "3")
    assert data.summary.outside_core == 3
    config = DatasetConfig(repeats="all", min_item_interactions=3)
    assert prepare(Ratings(users, items, np.arange(7)), config, SPLITS[0]).catalogue.ids == ("5",)


def test_the_lowest_rating_is_kept_and_decides_before_repeats():
    log = Ratings(np.ones(5, dtype=int), np.array([5, 5, 6, 6, 7]), np.arange(5), np.array([1.0, 4.0, 4.0, 5.0, 3.5]))
    data = prepare(log, DatasetConfig(min_rating=4), SPLITS[0])
    assert data.catalogue.ids == ("5", "6")
    assert data.train.times.tolist() == [1, 2]
    assert (data.summary.low_ratings, data.summary.repeats) == (2, 1)


def test_equal_times_are_those_of_one_user_and_every_event_counts():
    log = Ratings(np.array([1, 1, 1, 1, 2]), np.array([5, 6, 7, 8, 5]), np.array([3, 3, 3, 4, 4]))
    summary = prepare(log, DatasetConfig(), SPLITS[0]).summary
    assert summary.equal_times == 3 / 5
    assert "60% of interactions have the time of another of the same user: ordered by item id" in summary.notes


def test_white_space_in_texts_becomes_single_blanks():
    item = Item("a\n\u2028b", 1, ("c\r\nd", " e\t f "), "g\x0b\x0ch")
    log = Ratings(np.array([1]), np.array([5]), catalogue={"5": item}, profiles={"1": "age:\n24 "})
    data = prepare(log, DatasetConfig(), SPLITS[0])
    assert data.catalogue.items == (Item("a b", 1, ("c d", "e f"), "g h"),)
    assert data.profiles == ("age: 24",)


def test_filters_that_leave_nothing_name_themselves_and_the_largest_counts():
    log = Ratings(np.array([1, 1, 2]), np.array([5, 6, 5]), None, np.array([1.0, 2.0, 3.5]))
    with pytest.raises(DataError) as error:
        prepare(log, DatasetConfig(min_item_interactions=3), SPLITS[0])
    assert "(min_item_interactions 3)" in str(error.value)
    assert "a user has at most 2 interactions, and an item at most 2" in str(error.value)
    with pytest.raises(DataError, match=r"\(min_rating 4\).*highest rating is 3.5"):
        prepare(log, DatasetConfig(min_rating=4), SPLITS[0])


def test_white_space_around_ids_is_said():
    log = Ratings(np.array(["a", "b ", "c"]), np.array([" x", " y", "\u00a0z"]))
    notes = prepare(log, DatasetConfig(), SPLITS[0]).summary.notes
    assert "1 of 3 ids of users begin or end with white space, such as 'b '" in notes
    assert "3 of 3 ids of items begin or end with white space, such as ' x'" in notes
    log = Ratings(np.array(["a b", "c"]), np.array([1, 2]))
    assert not any("white space" in note for note in prepare(log, DatasetConfig(), SPLITS[0]).summary.notes)


def test_ids_that_match_only_in_form_are_said():
    log = Ratings(np.array(["a", "B", "c"]), np.array(["caf\u00e9", "x", "y"]))
    log = replace(
        log, catalogue={"cafe\u0301": Item("1"), "x": Item("2"), "y": Item("3")}, profiles={"a": "1", "b": "2"}
    )
    notes = prepare(log, DatasetConfig(), SPLITS[0]).summary.notes
    assert (
        r"the descriptions of items match 2 of 3 items; 1 more differ only in form, such as 'caf\xe9' and 'cafe\u0301'"
        in notes
    )
    assert "the profiles match 1 of 3 users; 1 more differ only in form, such as 'B' and 'b'" in notes
    log = Ratings(np.array(["e\u0301", "\u00e9"]), np.array(["x", "y"]), profiles={"z": "1"})
    notes = prepare(log, DatasetConfig(), SPLITS[0]).summary.notes
    assert any("2 users have ids that differ only in form" in note for note in notes)
    assert "the profiles match 0 of 2 users: none describes 'e\u0301', and the data have no user 'z'" in notes
    log = replace(log, profiles={}, catalogue={f"B{n}": Item("1") for n in range(3)})
    notes = prepare(log, DatasetConfig(), SPLITS[0]).summary.notes
    assert "the descriptions of items match 0 of 2 items: none describes 'x', and the data have no item 'B0'" in notes
    log = Ratings(np.array(list("abc")), np.array(list("xyz")), catalogue={"x": Item("1")})
    notes = prepare(log, DatasetConfig(), SPLITS[0]).summary.notes
    assert "the descriptions of items match 1 of 3 items: none describes 'y'" in notes


@given(log=logs())
@settings(deadline=None, max_examples=40)
@pytest.mark.parametrize("split", SPLITS, ids=[s.name for s in SPLITS])
def test_held_out_items_are_new_to_their_user(split, log):
    data = prepare(log, DatasetConfig(repeats="all"), split)
    for user in range(data.train.n_users):
        train, *held = (part.row(user).tolist() for part in (data.train, data.validation, data.test))
        assert len(set(held[0] + held[1])) == len(held[0] + held[1])
        assert not set(train) & set(held[0] + held[1])


def test_row_numbers_do_not_depend_on_the_order_of_the_file():
    users, items = np.array(["10", "9", "9", "10"]), np.array(["b", "a", "c", "a"])
    times = np.array([1, 2, 3, 4])
    one = prepare(Ratings(users, items, times), DatasetConfig(), SPLITS[0])
    two = prepare(Ratings(users[::-1], items[::-1], times[::-1]), DatasetConfig(), SPLITS[0])
    assert one.sha256() == two.sha256()
    assert one.user_ids == ("9", "10")
    assert one.catalogue.ids == ("a", "b", "c")


def test_ids_with_leading_zeros_stay_text():
    data = prepare(Ratings(np.array(["007", "7"]), np.array(["x", "x"])), DatasetConfig(), SPLITS[0])
    assert data.user_ids == ("007", "7")


def test_saved_data_comes_back(tmp_path):
    log = Ratings(np.array([1, 1, 1]), np.array([5, 6, 7]), None, None, {"5": Item("É", 1999, ("a", "b"))})
    data = prepare(log, DatasetConfig(), SPLITS[0])
    data.save(tmp_path / "d.npz")
    again = Prepared.load(tmp_path / "d.npz")
    assert again.sha256() == data.sha256()
    assert again.catalogue.items[0] == Item("É", 1999, ("a", "b"))


@pytest.mark.parametrize(
    ("log", "config", "split", "problem"),
    [
        (Ratings(np.array([]), np.array([])), {}, 0, "no rows"),
        (Ratings(np.array([1]), np.array([1, 2])), {}, 0, "1 users but 2 items"),
        (Ratings(np.array([1]), np.array([1]), None, np.array([np.nan])), {}, 0, "rating of row 1"),
        (Ratings(np.array([1]), np.array([1])), {"min_rating": 4}, 0, "has no ratings"),
        (Ratings(np.array([1]), np.array([1])), {"min_user_interactions": 3}, 0, "nothing is left"),
        (Ratings(np.array([1]), np.array([1])), {}, 2, "needs times"),
    ],
)
def test_wrong_data_is_one_clear_line(log, config, split, problem):
    with pytest.raises(DataError, match=problem):
        prepare(log, DatasetConfig(**config), SPLITS[split])


def small():
    generator = np.random.default_rng(0)
    users = np.repeat(np.arange(40), 12)
    items = np.concatenate([generator.choice(60, 12, replace=False, p=np.arange(1, 61) / 1830) for _ in range(40)])
    return prepare(Ratings(users, items, np.arange(480)), DatasetConfig(), SPLITS[0])


def test_a_held_out_item_cannot_be_read_before_the_seal_is_broken():
    data = small()
    held = data.held_out()
    with pytest.raises(SealedError):
        held.read()
    held.release()
    assert held.read().sha256() == data.test.sha256()
    with pytest.raises(SealedError):
        data.held_out().read()
    assert not hasattr(data.train_data(), "test")


def test_targets_are_disjoint_and_unpopular_and_depend_on_training_counts_alone():
    data = small()
    sets = choose_targets(data.train, TargetChoice(3, "unpopular", 2))
    assert len({int(i) for part in sets for i in part}) == 6
    counts = data.train.counts()
    assert counts[np.concatenate(sets)].max() <= np.sort(counts)[len(counts) // 5]
    again = choose_targets(data.train, TargetChoice(3, "unpopular", 2))
    assert all((a == b).all() for a, b in zip(sets, again, strict=True))
    with pytest.raises(DataError, match="500 unpopular items are requested"):
        choose_targets(data.train, TargetChoice(500))


def test_evaluated_users_have_something_to_learn_and_something_held_out():
    data = small()
    users = evaluated_users(data, None)
    assert (data.test.lengths()[users] > 0).all()
    sample = evaluated_users(data, UserSample(7, 3))
    assert len(sample) == 7
    assert set(sample) <= set(users)
    assert (sample == evaluated_users(data, UserSample(7, 3))).all()
    assert sample.tolist() != evaluated_users(data, UserSample(7, 4)).tolist()


def test_test_history_is_training_then_validation():
    data = small()
    history = joined(data.train.appended([[1, 2]]), data.validation)
    for user in range(data.train.n_users):
        assert history.row(user).tolist() == [*data.train.row(user), *data.validation.row(user)]


def test_random_ratio_keeps_the_ratio_and_a_training_item():
    data = prepare(Ratings(np.repeat([1, 2], [20, 1]), np.r_[np.arange(20), 3]), DatasetConfig(), SPLITS[1])
    assert [part.lengths().tolist() for part in (data.train, data.validation, data.test)] == [[16, 1], [2, 0], [2, 0]]


def test_without_times_the_order_of_the_rows_counts():
    users, items = np.array([1, 2, 1, 1, 2, 2]), np.array([9, 3, 7, 8, 5, 4])
    data = prepare(Ratings(users, items), DatasetConfig(), SPLITS[0])
    rows = [[data.catalogue.ids[item] for item in part.row(user)] for part in parts(data) for user in (0, 1)]
    assert rows == [["9"], ["3"], ["7"], ["5"], ["8"], ["4"]]


def parts(data):
    return data.train, data.validation, data.test
