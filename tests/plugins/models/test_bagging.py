from dataclasses import replace

import numpy as np
import pytest

from robench.api import Interactions, Rng
from robench.api.data import joined
from robench.store.certificate import LENGTH, Voting, certify_votes
from robench.testing.worlds import crowd
from robench_plugins.models.bagging import BASES, Bagging, draw_users, sample_users
from robench_plugins.models.sparse_matrix import matrix_of_users, without_repeats


@pytest.mark.parametrize("base", BASES)
def test_scores_are_the_medians_of_models_on_samples(base):
    data, _ = crowd()
    model = Bagging.make(base=base, models=5, users=0.4)
    model.fit(data, Rng(3))
    users, history = np.arange(9), joined(data.train, data.validation)
    parts = []
    for number in range(5):
        rng = Rng(3).child("samples", number)
        one = BASES[base].make()
        one.fit(type(data)(sample_users(data.train, 0.4, rng), data.validation, data.catalogue), rng.child("fit"))
        parts.append(one.scores(users, history))
    np.testing.assert_allclose(model.scores(users, history), np.median(parts, axis=0), rtol=1e-5, atol=1e-6)


def test_a_sample_has_a_share_of_the_users_with_items():
    train = Interactions.from_rows([[1, 2], [], [3], [0, 1, 2], [2], [1]], 5)
    drawn = [np.flatnonzero(sample_users(train, 0.4, Rng(seed)).lengths()) for seed in range(40)]
    assert {len(users) for users in drawn} == {2}
    assert set(np.concatenate(drawn).tolist()) == {0, 2, 3, 4, 5}
    assert len(np.flatnonzero(sample_users(train, 0.01, Rng(0)).lengths())) == 1
    assert sample_users(train, 1, Rng(0)).sha256() == train.sha256()


def test_a_fake_user_in_a_minority_of_samples_moves_no_score_beyond_the_others():
    data, _ = crowd()
    model = Bagging.make(base="item-knn", models=5, users=0.4)
    model.fit(data, Rng(0))
    users, history = np.arange(20), joined(data.train, data.validation)
    before = [base.scores(users, history) for base in model.bases]
    for base in model.bases[:2]:  # these two are at the attacker's will
        base.score_rows = lambda rows, users: np.full((rows.shape[0], data.n_items), 1e6, np.float32)
    after = model.scores(users, history)
    assert (after <= np.max(before[2:], axis=0)).all()


def voters(base="item-knn", **settings):
    data, _ = crowd()
    model = Bagging.make(base=base, models=7, combine="votes", sample_size=12, **settings)
    model.fit(data, Rng(5))
    return model, data


@pytest.mark.parametrize(("base", "each"), [("item-knn", 1), ("ease", 3)])
def test_each_base_model_votes_for_its_best_unknown_items(base, each):
    model, data = voters(base, vote_for=each)
    users, history = np.arange(9), joined(data.train, data.validation)
    expected = np.zeros((9, data.n_items), dtype=np.int64)
    for number in range(7):
        rng = Rng(5).child("samples", number)
        one = BASES[base].make()
        one.fit(type(data)(draw_users(data.train, 12, rng), data.validation, data.catalogue), rng.child("fit"))
        scores = one.score_rows(matrix_of_users(without_repeats(history), users), None)
        for user in users:
            known = set(history.row(user).tolist())
            best = [i for i in np.argsort(-scores[user], kind="stable") if i not in known and scores[user, i] > 0]
            expected[user, best[:each]] += 1
    votes = model.votes(users, history)
    np.testing.assert_array_equal(votes.counts, expected)
    assert (votes.models, votes.sample, votes.each) == (7, 12, each)
    assert votes.users == (data.train.lengths() > 0).sum()
    assert len(set(votes.counts[0].tolist())) > 2


def test_scores_order_items_by_votes_and_then_by_training_counts():
    model, data = voters()
    users, history = np.arange(9), joined(data.train, data.validation)
    scores, votes = model.scores(users, history), model.votes(users, history).counts
    assert (np.floor(scores) == votes).all()
    rest = scores - votes
    popularity = data.train.counts()
    assert (np.diff(rest[0][np.argsort(popularity)]) >= -1e-6).all()


def test_a_user_without_a_history_has_no_votes_and_a_median_has_none_at_all():
    model, data = voters()
    rows = Interactions.from_rows([[], [0, 1]], data.n_items)
    counts = model.votes(np.array([0, 1]), rows).counts
    assert (counts[0].sum(), counts[1].sum()) == (0, 7)
    median = Bagging.make(base="item-knn", models=3)
    median.fit(data, Rng(0))
    assert median.votes(np.array([1]), rows) is None


def test_a_restored_model_gives_the_same_votes():
    model, data = voters()
    users, history = np.arange(9), joined(data.train, data.validation)
    again = Bagging.make(base="item-knn", models=7, combine="votes", sample_size=12)
    again.restore(data, model.state(), Rng(5))
    one, two = model.votes(users, history), again.votes(users, history)
    np.testing.assert_array_equal(one.counts, two.counts)
    assert (one.users, one.sample) == (two.users, two.sample)


def test_new_settings_do_not_change_the_ids_of_earlier_cells():
    assert Bagging.make(base="ease").config.resolved() == {"base": "ease", "models": 11, "users": 0.2}


def test_no_tried_attack_takes_more_from_a_list_than_the_certificate_allows():
    data, held = crowd()
    history, users = joined(data.train, data.validation), np.arange(data.n_users)
    items = held.items

    def fit(train):
        model = Bagging.make(base="item-knn", models=400, combine="votes", sample_size=6)
        model.fit(replace(data, train=train), Rng(1))
        return model

    clean = fit(data.train).votes(users, history)
    others = clean.counts.copy()
    others[history.users(), history.items] = 0
    others[users, items] = 0
    arrays = {
        "indptr": np.arange(len(users) + 1),
        "item_votes": clean.counts[users, items],
        "other_votes": -np.sort(-others, axis=1)[:, :LENGTH],
    }
    voting = Voting(clean.models, clean.sample, clean.users, clean.each, clean.counts.size)
    certified = certify_votes(arrays, voting)
    assert 0.2 < certified[2].mean() < certified[0].mean()
    popular = np.argsort(-data.train.counts())
    attacks = (popular[:1], popular[:12], popular[-12:], np.arange(data.n_items))
    for fakes in (1, 2):
        for profile in attacks:
            rows = [data.train.row(user).tolist() for user in users] + [profile.tolist()] * fakes
            scores = fit(Interactions.from_rows(rows, data.n_items)).scores(users, history)
            scores[history.users(), history.items] = -1
            rank = (scores >= scores[users, items][:, None]).sum(axis=1)
            assert ((rank <= LENGTH) >= certified[fakes]).all()
