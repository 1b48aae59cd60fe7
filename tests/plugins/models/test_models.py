import numpy as np
import pytest
import torch

from robench.api.data import joined
from robench.conformance.worlds import bench_of, crowd, fitted, same_state
from robench_plugins.defenses.adversarial_training import AdversarialTraining
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.lstm import Lstm
from robench_plugins.models.mf import MatrixFactorization
from robench_plugins.models.popularity import Popularity

SMALL = {
    MatrixFactorization: {"factors": 16, "batch_size": 64, "learning_rate": 0.02, "epochs": 12},
    Lstm: {"dim": 16, "hidden": 16, "batch_size": 16, "learning_rate": 0.02, "epochs": 15, "max_length": 12},
    Bert4Rec: {"dim": 16, "batch_size": 16, "learning_rate": 0.01, "epochs": 12, "max_length": 13},
}


def _ndcg(model, data, test):
    ranks = bench_of(model, data, test).clean(None).arrays["ranks"].astype(float)
    return float(np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0).mean())


@pytest.mark.parametrize("kind", SMALL)
def test_it_finds_taste_where_popularity_cannot(kind):
    data, test = crowd(n_users=120, length=8)
    popularity = _ndcg(fitted(Popularity(), data)[0], data, test)
    assert _ndcg(fitted(kind.make(**SMALL[kind]), data)[0], data, test) > 3 * popularity


@pytest.mark.parametrize("kind", SMALL)
def test_lambda_one_is_bit_equal_even_when_the_inner_attack_runs(kind):
    data, _ = crowd(n_users=24)
    settings = {**SMALL[kind], "epochs": 2}
    defense = AdversarialTraining.make(**{"lambda": 1.0, "epsilon": 0.3, "shortcut": False})
    assert same_state(fitted(kind.make(**settings), data)[0], fitted(kind.make(**settings), data, defense)[0])


@pytest.mark.parametrize("kind", SMALL)
def test_scores_are_the_same_with_and_without_a_gradient(kind):
    data, _ = crowd(n_users=24)
    model, _ = fitted(kind.make(**{**SMALL[kind], "epochs": 1}), data)
    batch = model.queries(np.arange(24), joined(data.train, data.validation))
    tracked = model.score_from(batch, model.embed(batch))
    assert tracked.requires_grad
    with torch.no_grad():
        plain = model.score_from(batch, model.embed(batch))
    # Not bit for bit: torch picks another LSTM kernel where no gradient is wanted.
    torch.testing.assert_close(plain, tracked.detach(), rtol=1e-5, atol=1e-6)


def test_popularity_counts_training_interactions_only():
    data, _ = crowd(n_users=24)
    model, _ = fitted(Popularity(), data)
    scores = model.scores(np.arange(3), joined(data.train, data.validation))
    np.testing.assert_array_equal(scores, np.tile(data.train.counts(), (3, 1)))
