"""Tests the features of membership attacks, and what they see and know."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from robench.api import DataError, Interactions, PluginError, Rng
from robench.api.attacks.membership import SeenUsers
from robench.api.data import joined
from robench.engine.fit.refit import Refit
from robench.engine.measure import MeasuredVictim
from robench.engine.surfaces.membership.groups import draw_groups
from robench.engine.surfaces.membership.surface import list_items
from robench.testing import MembershipAttackTests
from robench.testing.worlds import crowd
from robench_plugins.attacks.membership.miars import Miars
from robench_plugins.attacks.membership.score_membership import ScoreMembership
from robench_plugins.defenses.none import NoDefense
from robench_plugins.defenses.privacy.popularity_randomisation import PopularityRandomisation
from robench_plugins.models.ease import Ease
from robench_plugins.models.popularity import Popularity


class TestMiars(MembershipAttackTests):
    attack = Miars
    settings: ClassVar = {"dimensions": 4}


class TestScoreMembership(MembershipAttackTests):
    attack = ScoreMembership


def rows(*items, n=6):
    return Interactions.from_rows(items, n)


def test_the_features_of_miars_are_the_difference_of_two_centres():
    attack = Miars.make(k=3)
    attack.vectors = np.arange(12.0).reshape(6, 2) ** 2
    users = SeenUsers(rows([0, 1, 1], [5]), np.array([[2, 4, 3], [0, -1, -1]]))
    v = attack.vectors
    first = (v[0] + v[1]) / 2 - (3 * v[2] + 2 * v[4] + 1 * v[3]) / 6
    np.testing.assert_allclose(attack.features(users), [first, v[5] - v[0] * 3 / 6])


def test_the_vectors_factorise_the_interactions_of_the_further_users():
    known = crowd(40, 12)[0].train
    attack = Miars.make(dimensions=50)
    attack.prepare(known, Rng(0))
    dense = np.zeros((40, 12))
    dense[known.users(), known.items] = 1
    assert attack.vectors.shape == (12, 11)
    gram = dense.T @ dense
    assert np.abs(attack.vectors @ attack.vectors.T - gram).max() <= np.linalg.eigvalsh(gram)[0] + 1e-6


def test_the_features_of_the_score_attack_are_those_of_a_hand_computation():
    scores = np.array([[4.0, 3.0, 2.0, 1.0, 0.0, 2.0]], dtype=np.float32)
    (values,) = ScoreMembership().features(SeenUsers(rows([0, 3]), np.zeros((1, 1), np.int64), scores))
    z = (scores[0] - 2) / scores[0].std()
    expected = [z[[0, 3]].mean(), z[[0, 3]].std(), z[3], 0.6, 0.2, 0.5, z[[1, 2, 4, 5]].mean(), np.log(2)]
    np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_lists_hold_the_best_items_without_the_users_own():
    scores = np.array([[1.0, 5.0, 3.0, 3.0, 0.0, 9.0]])
    np.testing.assert_array_equal(list_items(scores, rows([5]), 3), [[1, 2, 3]])
    np.testing.assert_array_equal(list_items(scores, rows([0, 2, 3, 4, 5]), 3), [[1, -1, -1]])
    assert list_items(scores, rows([5]), 8).shape == (1, 8)


def world(n=200, items=30):
    """Returns training, known and held-out rows.

    Every fourth user is cold, and the first item is held out.
    """
    whole = crowd(n, items)[0].train
    cold = np.arange(n) % 4 == 0
    train, known = whole.without_users(cold), whole.without_users(~cold)
    last = np.zeros(len(known), dtype=bool)
    last[known.indptr[:-1][cold]] = True
    return train, joined(train, known.only(~last)), known.only(last)


def test_the_groups_are_disjoint_and_the_attack_does_not_know_the_members():
    train, history, held = world()
    groups = draw_groups(train, history, held)
    parts = groups.shadow, groups.outside, groups.members, groups.non_members
    assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts))
    cold = np.arange(200) % 4 == 0
    assert not cold[groups.members].any()
    assert cold[groups.non_members].all()
    for part in (groups.shadow, groups.outside):
        assert 0 < cold[part].mean() < 0.6
    again = draw_groups(train, history, held)
    np.testing.assert_array_equal(again.members, groups.members)
    with pytest.raises(DataError, match="at least 10"):
        draw_groups(*world(n=40))


def measure(attack, model=Popularity, defense=None, **settings):
    train, history, held = world()
    data = crowd(200, 30)[0]
    empty = Interactions.from_rows([[]] * 200, 30)
    data = type(data)(train, empty, data.catalogue)
    defense = defense or NoDefense()
    refit = Refit(data, model, settings, defense, torch.device("cpu"))
    victim = MeasuredVictim(refit.fit(train, Rng(0)), history, held, np.arange(0, 200, 4), 0, refit=refit)
    return victim.attacked(attack, 0.0, "key")


def test_an_attack_on_lists_gets_no_scores_and_one_on_scores_gets_them():
    seen = []

    class Watched(Miars):
        def features(self, users):
            seen.append(users.scores)
            return super().features(users)

    measure(Watched.make(dimensions=5, k=5))
    assert seen
    assert all(scores is None for scores in seen)
    assert measure(ScoreMembership.make(k=5)).membership["members"] > 10


def test_an_attack_that_ignores_what_it_sees_is_at_a_half():
    class Blind(ScoreMembership):
        def infer(self, shadow, members, target, rng):
            return np.zeros(len(target))

    numbers = measure(Blind()).membership
    assert (numbers["auroc"], numbers["tpr"]) == (0.5, 0.0)


class Numbered(ScoreMembership):
    """An attack that guesses by the place of a user among all tested users."""

    calls = 0

    def infer(self, shadow, members, target, rng):
        return -np.arange(float(len(target)))


class NumberedChunks(Numbered):
    """An attack that guesses by the number of the chunk."""

    def features(self, users):
        self.calls += 1
        return np.full((len(users.lists), 1), float(self.calls))

    def infer(self, shadow, members, target, rng):
        return -target[:, 0]


class LastTime(NumberedChunks):
    """An attack that guesses by the order of the user's interactions."""

    def features(self, users):
        rows = (users.histories.times[slice(*users.histories.indptr[n : n + 2])] for n in range(len(users.lists)))
        return np.array([[float((np.diff(row) < 0).any())] for row in rows])


@pytest.mark.parametrize("attack", [Numbered, NumberedChunks, LastTime])
def test_an_attack_learns_nothing_from_the_order_of_users_chunks_and_rows(attack):
    for numbers in (measure(attack()).membership, measure(attack(), Ease, weight_decay=1.0).membership):
        assert numbers["auroc_low"] <= 0.5 <= numbers["auroc_high"]


def test_the_order_of_users_follows_from_the_data():
    orders = []

    class Watched(ScoreMembership):
        def features(self, users):
            orders.append([tuple(users.histories.row(n)) for n in range(len(users.lists))])
            return super().features(users)

    measure(Watched())
    measure(Watched())
    assert orders[:2] == orders[2:]
    _shadow, tested = orders[:2]
    train, history, held = world()
    whole = joined(history, held)
    groups = draw_groups(train, history, held)
    sorted_rows = [tuple(sorted(whole.row(user))) for user in np.concatenate([groups.members, groups.non_members])]
    assert [tuple(sorted(row)) for row in tested] != sorted_rows
    assert sorted(tuple(sorted(row)) for row in tested) == sorted(sorted_rows)


def test_features_without_one_row_per_user_are_refused():
    class Short(ScoreMembership):
        def features(self, users):
            return super().features(users)[1:]

    with pytest.raises(PluginError, match="one row for each"):
        measure(Short())


def test_a_user_who_repeats_items_counts_with_distinct_items_in_both_groups():
    train, history, held = world()
    twice = np.flatnonzero(held.lengths() > 0)[:30]
    rows = [[0, 1] * 4 if user in twice else history.row(user) for user in range(200)]
    groups = draw_groups(train, Interactions.from_rows(rows, 30), held)
    parts = np.concatenate([groups.shadow, groups.outside, groups.members, groups.non_members])
    assert not np.isin(twice, parts).any()


@pytest.mark.parametrize("wrong", [np.zeros(3), None])
def test_an_answer_without_one_number_per_user_is_refused(wrong):
    class Wrong(ScoreMembership):
        def infer(self, shadow, members, target, rng):
            return np.full(len(target), np.nan) if wrong is None else wrong

    with pytest.raises(PluginError, match="one finite number"):
        measure(Wrong())


def test_popular_lists_give_non_members_away():
    attack = Miars.make(dimensions=10, k=10, non_members="popular")
    assert measure(attack, Ease, weight_decay=1.0).membership["auroc_low"] > 0.6


def test_randomisation_mixes_the_popular_items_of_users_without_a_history_only():
    train, history, _ = world()
    model = Ease.make()
    model.fit(type(crowd()[0])(train, history, crowd(200, 30)[0].catalogue), Rng(0))
    wrapped = PopularityRandomisation.make(candidates=8).wrap(model, Rng(0))
    some = history.rows_in(np.arange(3))
    np.testing.assert_array_equal(wrapped.newcomers(some), model.newcomers(some))
    nobody = some.without_users(np.ones(3, dtype=bool))
    with Rng(1).stream():
        mixed = wrapped.newcomers(nobody)
    plain = model.newcomers(nobody)
    best = np.argsort(-plain[0], kind="stable")[:8]
    assert (mixed[0] != mixed[1]).any()
    for row in mixed:
        np.testing.assert_array_equal(np.sort(row[best]), np.sort(plain[0][best]))
        np.testing.assert_array_equal(np.delete(row, best), np.delete(plain[0], best))
