from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from robench.api.data import Interactions, TrainData, joined
from robench.api.rng import Rng
from robench.testing.worlds import crowd, fitted, measured_victim, same_state
from robench_plugins.defenses.adversarial_training import AdversarialTraining
from robench_plugins.models import neumf
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.ease import Ease
from robench_plugins.models.gru4rec import Gru4Rec
from robench_plugins.models.lightgcn import LightGcn
from robench_plugins.models.lstm import Lstm
from robench_plugins.models.mf import MatrixFactorization
from robench_plugins.models.multi_vae import MultiVae
from robench_plugins.models.neumf import NeuMf
from robench_plugins.models.popularity import Popularity
from robench_plugins.models.sasrec import SasRec
from robench_plugins.models.sparse_matrix import interaction_matrix, matrix_of_users

SMALL = {
    MatrixFactorization: {"factors": 16, "batch_size": 64, "learning_rate": 0.02, "epochs": 12},
    Lstm: {"dim": 16, "hidden": 16, "batch_size": 16, "learning_rate": 0.02, "epochs": 15, "max_length": 12},
    Bert4Rec: {"dim": 16, "batch_size": 16, "learning_rate": 0.01, "epochs": 12, "max_length": 13},
    Gru4Rec: {"dim": 16, "hidden": 16, "batch_size": 16, "learning_rate": 0.02, "epochs": 15, "max_length": 12},
    SasRec: {"dim": 16, "batch_size": 16, "learning_rate": 0.01, "epochs": 15, "max_length": 12},
    NeuMf: {"factors": 8, "mlp_factors": 8, "hidden": [16, 8], "batch_size": 64, "learning_rate": 0.02, "epochs": 15},
    MultiVae: {"hidden": 32, "latent": 16, "batch_size": 16, "learning_rate": 0.01, "epochs": 30},
    LightGcn: {"factors": 16, "batch_size": 128, "learning_rate": 0.02, "epochs": 15},
}


def _ndcg(model, data, test):
    """Returns the mean NDCG@10 of a model on held-out items."""
    ranks = measured_victim(model, data, test).clean(None).arrays["ranks"].astype(float)
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
    # The scores are not equal bit for bit, because torch uses a different LSTM kernel if no gradient is needed.
    torch.testing.assert_close(plain, tracked.detach(), rtol=1e-5, atol=1e-6)


def test_popularity_counts_training_interactions_only():
    data, _ = crowd(n_users=24)
    model, _ = fitted(Popularity(), data)
    scores = model.scores(np.arange(3), joined(data.train, data.validation))
    np.testing.assert_array_equal(scores, np.tile(data.train.counts(), (3, 1)))


@pytest.mark.parametrize("kind", [MatrixFactorization, NeuMf, LightGcn])
def test_folding_in_touches_no_gradient_and_needs_no_outer_one(kind):
    data, _ = crowd(n_users=24)
    model, _ = fitted(kind.make(epochs=1), data)
    model.zero_grad()
    scores = model.newcomers(data.train)
    assert all(part.grad is None for part in model.parameters())
    with torch.no_grad():
        np.testing.assert_array_equal(model.newcomers(data.train), scores)


def test_a_cold_user_has_the_mean_vector_in_every_batch():
    data, _ = crowd(n_users=12)
    rows = [*(data.train.row(user) for user in range(11)), []]
    thin = TrainData(Interactions.from_rows(rows, data.n_items), data.validation, data.catalogue)
    model = MatrixFactorization.make(factors=8)
    model.initialise(thin, Rng(0))
    model.eval()
    weight = model.user_vectors.weight
    rows = model.rows_of(model.user_vectors, torch.tensor([3, 11]))
    torch.testing.assert_close(rows, torch.stack([weight[3], weight[:11].mean(0)]))
    assert torch.equal(model.rows_of(weight, torch.tensor([3])), weight[[3]])


def test_neumf_scores_in_chunks_have_the_same_gradients(monkeypatch):
    data, _ = crowd(n_users=24)
    model, _ = fitted(NeuMf.make(epochs=1), data)
    batch = model.queries(np.arange(24), data.train)
    gradients = []
    for entries in (neumf.CHUNK_HIDDEN, 5 * data.n_items * model.config.hidden[0]):
        monkeypatch.setattr(neumf, "CHUNK_HIDDEN", entries)
        scores = model.score_from(batch, model.embed(batch))
        gradients.append([scores, *torch.autograd.grad(scores.square().sum(), list(model.parameters()))])
    for whole, chunked in zip(*gradients, strict=True):
        torch.testing.assert_close(chunked, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [Lstm, Gru4Rec])
@pytest.mark.parametrize("layers", [1, 2])
def test_recurrent_layers_are_torch_s_own_with_replayable_dropout(kind, layers):
    data, _ = crowd(n_users=24)
    model = kind.make(dim=8, hidden=6, layers=layers, dropout=0.5)
    model.initialise(data, Rng(0))
    torch.manual_seed(1)
    model.build_layers()
    torch.manual_seed(1)
    whole, project = kind.cell(8, 6, layers, batch_first=True), nn.Linear(6, 8)
    batch = model.queries(np.arange(24), data.train)
    e = model.embed(batch)
    model.eval()
    torch.testing.assert_close(model.states(batch, e), project(whole(e.inputs["items"])[0]), rtol=0, atol=0)
    assert all(part.dropout == 0 for part in model.modules() if isinstance(part, nn.RNNBase))


def test_rows_of_some_users():
    data, _ = crowd(n_users=24)
    users = np.array([5, 3, 3, 23])
    expected = interaction_matrix(data.train).toarray()[users]
    np.testing.assert_array_equal(matrix_of_users(data.train, users).toarray(), expected)
    assert matrix_of_users(data.train, users[:0]).shape == (0, data.n_items)


def test_ease_is_the_closed_form():
    data, _ = crowd(n_users=24)
    x = interaction_matrix(data.train).toarray().astype(float)
    inverse = np.linalg.inv(x.T @ x + 20 * np.eye(data.n_items))
    reference = np.eye(data.n_items) - inverse / np.diag(inverse)
    weights = fitted(Ease.make(weight_decay=20.0), data)[0].weights
    np.testing.assert_allclose(weights, reference, rtol=1e-4, atol=1e-6)
    assert not np.diag(weights).any()


def test_batches_of_lightgcn_grow_only_if_the_real_data_need_more_steps():
    data, _ = crowd()
    fakes = Interactions.from_rows([[1, 2, 3]] * 90, data.n_items)
    rows = [part.row(user) for part in (data.train, fakes) for user in range(part.n_users)]
    poisoned = replace(data, train=Interactions.from_rows(rows, data.n_items))
    for most, size in ((120, 50), (12, 50), (11, 55), (5, 120)):  # 600 real triples
        model = LightGcn.make(batch_size=50, max_steps=most)
        assert model.batch_rows(data) == model.batch_rows(poisoned) == size
        sizes = [len(batch.users) for batch in model.batches(data, Rng(0))]
        assert max(sizes) == size
        assert len(sizes) == min(12, most)
    assert LightGcn.make(batch_size=2048).batch_rows(data) == 2048
    assert "max_steps" not in LightGcn.make().config.resolved()
