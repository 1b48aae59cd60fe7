import numpy as np
import pytest

from robench.api import Interactions, Rng
from robench.api.data import joined
from robench.testing.worlds import crowd
from robench_plugins.models.bagging import BASES, Bagging, sample_users


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
