"""Tests which items the profiles of fake users hold, and in which order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api import Interactions, Rng
from robench.api.attacks.poisoning import AttackerView
from robench.api.data import Catalogue, Item
from robench.api.errors import DataError
from robench.engine.fit.poisoning import poison
from robench_plugins.attacks.poisoning.bandwagon import Bandwagon
from robench_plugins.attacks.poisoning.copy_profile import CopyProfile
from robench_plugins.attacks.poisoning.random_profiles import RandomProfiles
from robench_plugins.attacks.poisoning.segment import Segment, compute_co_occurrence, compute_genre_nearness

TARGETS = np.array([0, 1])
TRAIN = Interactions.from_rows([[7, 8, 9], [7, 8, 9], [7, 8, 9], [2, 3, 4]], 10)
EVERY = [RandomProfiles, Bandwagon, Segment, CopyProfile]
ROWS = st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=4, max_size=12)


def rows_of(attack, train=TRAIN, targets=TARGETS, size=5):
    return attack.profiles(train, targets=targets, n_users=12, profile_size=size, rng=Rng(0)).rows


def test_a_bandwagon_is_of_the_most_popular_items():
    for row in rows_of(Bandwagon.make(popular_share=1)):
        assert set(row.tolist()) == {0, 1, 7, 8, 9}


def test_the_earlier_name_of_the_popular_share_still_works_and_ids_keep_it():
    earlier, now = Bandwagon.make(popular=1), Bandwagon.make(popular_share=1)
    assert earlier.config == now.config
    assert now.config.resolved() == {"profile_size": None, "k": 10, "popular": 1.0}


def test_targets_stand_anywhere_in_a_profile():
    for attack in (Bandwagon.make(popular=1), RandomProfiles.make(), CopyProfile.make()):
        places = {place for row in rows_of(attack) for place in np.isin(row, TARGETS).nonzero()[0].tolist()}
        assert places == set(range(5))


@pytest.mark.parametrize("attack", EVERY)
def test_targets_stand_last_if_the_suite_says_so(attack):
    for row in rows_of(attack.make(place_targets="last")):
        assert np.isin(row, TARGETS).tolist() == [False, False, False, True, True]


def test_targets_stand_directly_behind_the_most_popular_fillers():
    train = Interactions.from_rows([[5, 6], [5, 6], [5, 6], [2], [3], [4]], 7)
    for row in rows_of(Bandwagon.make(popular_share=0.5, place_targets="behind"), train, size=6):
        before = {int(row[place - 1]) for place in np.isin(row, TARGETS).nonzero()[0]}
        assert before == {5, 6}


def test_with_fewer_fillers_than_targets_the_others_stand_at_the_end():
    (row, *_) = rows_of(RandomProfiles.make(place_targets="behind"), targets=np.array([0, 1, 2]), size=4)
    assert np.isin(row, [0, 1, 2]).tolist() == [False, True, True, True]


@pytest.mark.parametrize("place", ["random", "last", "behind"])
@pytest.mark.parametrize("goal", ["promote", "demote", "untargeted"])
@pytest.mark.parametrize("attack", EVERY)
@given(rows=ROWS, size=st.integers(1, 9), targets=st.sets(st.integers(0, 9), min_size=1, max_size=3))
@settings(max_examples=15, deadline=None)
def test_profiles_obey_the_rules_of_their_goal(attack, goal, place, rows, size, targets):
    if attack is Segment and goal == "untargeted":
        return
    train, targets = Interactions.from_rows(rows, 10), np.array(sorted(targets))
    made = attack.make(goal=goal, place_targets=place, profile_size=max(size, len(targets)))
    poisoned = poison(made, train, targets=targets, epsilon=0.5, rng=Rng(0)).train
    assert poisoned.n_users - train.n_users == -(-len(rows) // 2)
    for user in range(train.n_users, poisoned.n_users):
        present = np.isin(targets, poisoned.row(user))
        assert goal == "untargeted" or present.all() == (goal == "promote") == present.any()


def test_degrade_is_another_word_for_untargeted():
    attack = Bandwagon.make(goal="degrade")
    assert attack.threat().goal == attack.config.resolved()["goal"] == "untargeted"


def test_co_occurrence_is_the_sum_of_cosines():
    train = Interactions.from_rows([[0, 2], [0, 2, 2], [0, 3], [1, 3], [3]], 5)
    wanted = [1 + 0, 0 + 1, 2 / np.sqrt(3 * 2), 1 / 3 + 1 / np.sqrt(3), 0]
    np.testing.assert_allclose(compute_co_occurrence(train, TARGETS), wanted)


def test_a_segment_holds_the_nearest_items():
    train = Interactions.from_rows([[0, 2, 3], [1, 2, 3], [4, 5], [4, 5], [4, 5]], 6)
    for row in rows_of(Segment.make(pool=1), train, size=4):
        assert set(row.tolist()) == {0, 1, 2, 3}


def test_a_segment_by_genre_holds_items_of_the_targets_genres():
    genres = [("war",), ("war", "drama"), ("war",), ("love",), ("war", "drama"), (), ("love",)]
    catalogue = Catalogue(tuple(map(str, range(7))), tuple(Item(genres=of) for of in genres))
    np.testing.assert_allclose(compute_genre_nearness(catalogue, TARGETS), [1.5, 1.5, 1.5, 0, 1.5, 0, 0])
    train = Interactions.from_rows([[0, 3], [1, 6], [3, 6]], 7)
    view = AttackerView(train, catalogue)
    made = Segment.make(by="genre", pool=1).craft(view, targets=TARGETS, n_users=3, profile_size=4, rng=Rng(0))
    assert all(set(row.tolist()) == {0, 1, 2, 4} for row in made.rows)
    with pytest.raises(DataError, match="no target has one"):
        compute_genre_nearness(catalogue, np.array([5]))


@given(rows=ROWS)
@settings(max_examples=30, deadline=None)
def test_a_copy_is_a_part_of_one_real_user_in_order(rows):
    train = Interactions.from_rows(rows, 10)
    for row in rows_of(CopyProfile.make(), train):
        copied = row[~np.isin(row, TARGETS)].tolist()
        assert any(is_subsequence(copied, list(dict.fromkeys(real))) for real in rows)


def is_subsequence(part, whole):
    rest = iter(whole)
    return all(item in rest for item in part)


def test_copies_are_of_different_users():
    train = Interactions.from_rows([[user, user + 1, user + 2] for user in range(2, 14)], 16)
    copied = {tuple(sorted(row.tolist())) for row in rows_of(CopyProfile.make(), train)}
    assert len(copied) == 12


@pytest.mark.parametrize("attack", [Bandwagon, Segment])
def test_the_order_of_real_users_changes_no_profile_that_only_counts(attack):
    order = [2, 0, 3, 1]
    other = Interactions.from_rows([TRAIN.row(user) for user in order], 10)
    for one, two in zip(rows_of(attack.make()), rows_of(attack.make(), other), strict=True):
        np.testing.assert_array_equal(one, two)
