"""Tests the formulas of the models.

The expected numbers are computed by hand, or with dense numpy arrays that share no code with the models.
"""

import numpy as np
import pytest
import torch

from robench.api import Batch, Rng
from robench.api.data import Catalogue, Interactions, Item, TrainData
from robench_plugins.models.content import Content
from robench_plugins.models.ease import Ease
from robench_plugins.models.item_knn import ItemKnn
from robench_plugins.models.lightgcn import LightGcn
from robench_plugins.models.mf import MatrixFactorization
from robench_plugins.models.multi_vae import MultiVae
from robench_plugins.models.neumf import NeuMf
from robench_plugins.models.sasrec import SasRec
from robench_plugins.models.user_knn import UserKnn

# Items 0 to 3 have 3, 3, 2 and 1 users. The pairs 01 and 12 share 2 users, 02, 13 and 23 share 1, and 03 shares none.
ROWS = [[0, 1, 2], [0, 1], [1, 2, 3], [0]]
R2, R3, R6 = np.sqrt([2.0, 3.0, 6.0])


def _data(rows, n_items, items=None):
    """Returns training data with the given rows and without validation items."""
    train = Interactions.from_rows(rows, n_items)
    items = items or [Item(f"Title {i}", 2000, ()) for i in range(n_items)]
    catalogue = Catalogue(tuple(str(i) for i in range(n_items)), tuple(items))
    return TrainData(train, Interactions.from_rows([[] for _ in rows], n_items), catalogue)


def _learnt(kind, data, **settings):
    """Returns a model that has been fitted on the data."""
    model = kind.make(**settings)
    model.fit(data, Rng(0))
    return model


def _built(kind, data, **settings):
    """Returns a model with large random parameters, in evaluation mode.

    Large parameters ensure that no term of a formula is negligible.
    """
    model = kind.make(**settings)
    model.initialise(data, Rng(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for part in model.parameters():
            part.copy_(torch.randn(part.shape, generator=generator) * 0.5)
    return model.eval()


def _values(model):
    """Returns a dict from the names of a model's parameters to float64 arrays."""
    return {name: part.detach().double().numpy() for name, part in model.named_parameters()}


def _dense(rows, n_items):
    """Returns the interactions as a dense matrix, float64 [rows, n_items]."""
    return np.array([[float(i in row) for i in range(n_items)] for row in rows])


def test_item_knn_by_hand():
    data = _data(ROWS, 4)
    model = _learnt(ItemKnn, data, k=1, shrinkage=1.0)
    # With shrinkage 1: sim(01) = 2/(3 + 1), sim(02) = 1/(√6 + 1), sim(12) = 2/(√6 + 1), sim(13) = 1/(√3 + 1), sim(23) =
    # 1/(√2 + 1). With k = 1, the only neighbour of items 0 and 2 is item 1, and that of items 1 and 3 is item 2.
    by_1, by_2, by_3 = 0.5, 2 / (R6 + 1), 1 / (R2 + 1)
    expected = [[by_1, by_2, by_2, by_3], [by_1, 0, by_2, 0], [by_1, by_2, by_2, by_3], [0, 0, 0, 0]]
    np.testing.assert_allclose(model.scores(np.arange(4), data.train), expected, rtol=1e-6)


def test_user_knn_by_hand():
    data = _data(ROWS, 4)
    model = _learnt(UserKnn, data, k=2, shrinkage=1.0)
    # The norms are √3, √2, √3 and 1. With shrinkage 1, the two nearest users of user 0 are 1 and 2. Those of user 1 are
    # 0 and 3, those of user 2 are 0 and 1, and those of user 3 are 1 and 0.
    s01, s02, s03, s12, s13 = 2 / (R6 + 1), 2 / 4, 1 / (R3 + 1), 1 / (R6 + 1), 1 / (R2 + 1)
    expected = [
        [s01, s01 + s02, s02, s02],
        [s01 + s13, s01, s01, 0],
        [s02 + s12, s02 + s12, s02, 0],
        [s13 + s03, s13 + s03, s03, 0],
    ]
    np.testing.assert_allclose(model.scores(np.arange(4), data.train), expected, rtol=1e-6)
    # The newcomer has items 1 and 3, and the norm √2.
    # The similarities are 1/(√6 + 1) to user 0, 1/3 to user 1 and 2/(√6 + 1) to user 2.
    near, nearest = 1 / 3, 2 / (R6 + 1)
    scores = model.newcomers(Interactions.from_rows([[1, 3]], 4))
    np.testing.assert_allclose(scores, [[near, near + nearest, nearest, nearest]], rtol=1e-6)


def test_ease_is_a_ridge_regression_of_each_item_on_the_others():
    """The test solves EASE's optimisation problem column by column.

    Each solution has a zero diagonal entry and equals a column of the model's weights.
    """
    generator = np.random.default_rng(0)
    n_items, penalty = 7, 3.0
    rows = [generator.permutation(n_items)[: 2 + u % 4].tolist() for u in range(12)]
    data = _data(rows, n_items)
    x = _dense(rows, n_items)
    expected = np.zeros((n_items, n_items))
    for item in range(n_items):
        others = np.delete(np.arange(n_items), item)
        seen = x[:, others]
        expected[others, item] = np.linalg.solve(seen.T @ seen + penalty * np.eye(n_items - 1), seen.T @ x[:, item])
    model = _learnt(Ease, data, weight_decay=penalty)
    # For a history of one item, the scores are the item's row of the weights, including the diagonal entry.
    single = Interactions.from_rows([[i] for i in range(n_items)], n_items)
    scores = model.newcomers(single)
    assert not np.diag(scores).any()
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.scores(np.arange(12), data.train), x @ expected, rtol=1e-5, atol=1e-6)


def test_content_by_hand():
    items = [Item("Alpha", 1990, ("x",)), Item("Beta: alpha!", 1991, ("y",)), Item("Beta", 1990, ("x",))]
    data = _data([[0], [0, 1]], 3, items)
    model = _learnt(Content, data, min_items=1)
    # A word that occurs in d of the 3 items has the weight ln(4 / (1 + d)) + 1. Two items have alpha, beta, year:1990
    # and genre:x. One item has year:1991 and genre:y. All three items have decade:199.
    two, one = np.log(4 / 3) + 1, np.log(4 / 2) + 1
    plain, other = 3 * two**2 + 1, 2 * two**2 + 2 * one**2 + 1  # squared lengths of items 0 and 2, and of 1
    c01 = c12 = (two**2 + 1) / np.sqrt(plain * other)  # shared: alpha (or beta) and the decade
    c02 = (2 * two**2 + 1) / plain  # shared: year, genre and the decade
    length = np.sqrt(2 + 2 * c01)  # length of the sum of items 0 and 1
    expected = [[1, c01, c02], [(1 + c01) / length, (1 + c01) / length, (c02 + c12) / length]]
    np.testing.assert_allclose(model.scores(np.arange(2), data.train), expected, rtol=1e-5)
    described = [
        items[0],
        Item("Beta:", 1991, ("y",), "Alpha!"),
        items[2],
    ]  # words of the description have the same weight as words of the title
    other = _learnt(Content, _data([[0], [0, 1]], 3, described), min_items=1)
    np.testing.assert_allclose(other.scores(np.arange(2), data.train), expected, rtol=1e-5)


def test_lightgcn_is_the_mean_of_dense_symmetrically_normalised_layers():
    rows, n_items, layers = [[0, 1, 2, 3], [1], [1, 4], [0, 1, 4]], 5, 2
    model = _built(LightGcn, _data(rows, n_items), factors=3, layers=layers)
    r = _dense(rows, n_items)
    assert len(set(r.sum(1))) > 2
    assert len(set(r.sum(0))) > 2
    graph = np.zeros((9, 9))
    graph[:4, 4:], graph[4:, :4] = r, r.T
    degree = graph.sum(1)
    graph /= np.sqrt(degree[:, None] * degree[None, :])
    values = _values(model)
    layer = np.concatenate([values["user_vectors.weight"], values["item_vectors.weight"]])
    total = layer.copy()
    for _ in range(layers):
        layer = graph @ layer
        total += layer
    e = model.embed(model.queries(np.array([3, 0, 2, 1]), Interactions.from_rows(rows, n_items)))
    mean = total / (layers + 1)
    np.testing.assert_allclose(e.inputs["user"].detach().numpy(), mean[[3, 0, 2, 1]], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(e.context["items"].detach().numpy(), mean[4:], rtol=1e-5, atol=1e-6)


def _log_softmax(x):
    """Returns the logarithm of the softmax over the last axis."""
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def test_multi_vae_loss_of_a_user_is_the_papers_bound():
    rows, n_items, beta = [[0, 3, 4], [1], [2, 5, 0, 1]], 6, 0.7
    data = _data(rows, n_items)
    model = _built(MultiVae, data, hidden=5, latent=3, dropout=0.5)
    v = _values(model)
    x = _dense(rows, n_items)
    x_hat = x / np.linalg.norm(x, axis=1, keepdims=True)
    inner = np.tanh(x_hat @ v["first.weight"][:n_items] + v["first_bias"])
    mean, log_variance = np.split(inner @ v["encode.weight"].T + v["encode.bias"], 2, axis=1)
    # In evaluation mode, the latent vector z is the mean.
    outer = np.tanh(mean @ v["decode.weight"].T + v["decode.bias"])
    logits = outer @ v["last.weight"].T + v["last.bias"]
    sigma = np.exp(log_variance / 2)
    divergence = (-np.log(sigma) + (sigma**2 + mean**2) / 2 - 0.5).sum(1)
    assert (divergence > 0.1).all()
    expected = -(x * _log_softmax(logits)).sum(1) + beta * divergence
    queries = model.queries(np.arange(3), data.train)
    batch = Batch(queries.users, queries.histories, {"beta": torch.full((3,), beta)})
    e = model.embed(batch)
    value, row = model.loss_from(batch, e)
    assert row.tolist() == [0, 0, 0, 1, 2, 2, 2, 2]
    loss = torch.zeros(3).index_add(0, row, value).detach().numpy()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(model.score_from(batch, e).detach().numpy(), logits, rtol=1e-5, atol=1e-6)


def test_multi_vae_anneals_beta_by_epoch():
    data = _data([[0, 1], [2]], 3)
    model = _built(MultiVae, data, hidden=4, latent=2, beta=0.8, anneal_epochs=4)
    betas = [float(next(iter(model.batches(data, Rng(epoch)))).targets["beta"][0]) for epoch in range(6)]
    np.testing.assert_allclose(betas, [0, 0.2, 0.4, 0.6, 0.8, 0.8], rtol=1e-6)


@pytest.mark.parametrize("loss", ["bpr", "ce"])
def test_mf_loss_by_hand(loss):
    data = _data([[0], [1]], 3)
    model = _built(MatrixFactorization, data, factors=2, loss=loss)
    with torch.no_grad():
        model.user_vectors.weight.copy_(torch.tensor([[1.0, 2.0], [-1.0, 0.5]]))
        model.item_vectors.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, -1.0]]))
    # User 0 has the scores 1, 2 and −1.5. User 1 has the scores −1, 0.5 and −1.
    users, positives, negatives = torch.tensor([1, 0]), torch.tensor([1, 0]), torch.tensor([0, 1])
    batch = Batch(users, users.new_empty(2, 0), {"positives": positives, "negatives": negatives})
    expected = {
        "bpr": [np.log(1 + np.exp(-1.5)), np.log(1 + np.exp(1.0))],
        "ce": [np.log(np.exp([-1, 0.5, -1]).sum()) - 0.5, np.log(np.exp([1, 2, -1.5]).sum()) - 1],
    }
    value, row = model.loss_from(batch, model.embed(batch))
    assert row.tolist() == [0, 1]
    np.testing.assert_allclose(value.detach().numpy(), expected[loss], rtol=1e-5)


def test_neumf_is_a_product_and_a_perceptron_on_both_vectors():
    data = _data([[0, 1], [2], [3, 4]], 5)
    model = _built(NeuMf, data, factors=2, mlp_factors=3, hidden=[4, 3], negatives=2)
    v = _values(model)
    p, q = v["user_vectors.weight"], v["item_vectors.weight"]
    first = np.concatenate([v["from_user.weight"], v["from_item.weight"]], axis=1)
    scores = np.empty((3, 5))
    for user in range(3):
        for item in range(5):
            x = np.maximum(first @ np.concatenate([p[user, 2:], q[item, 2:]]) + v["from_user.bias"], 0)
            x = np.maximum(v["layers.0.weight"] @ x + v["layers.0.bias"], 0)
            scores[user, item] = v["output.weight"][0] @ np.concatenate([p[user, :2] * q[item, :2], x])
    np.testing.assert_allclose(model.scores(np.arange(3), data.train), scores, rtol=1e-5, atol=1e-6)
    users, positives, negatives = torch.tensor([2, 0]), torch.tensor([3, 1]), torch.tensor([[0, 1], [4, 2]])
    batch = Batch(users, users.new_empty(2, 0), {"positives": positives, "negatives": negatives})
    value, row = model.loss_from(batch, model.embed(batch))
    assert row.tolist() == [0, 1]
    own, other = scores[[2, 0], [3, 1]], scores[[[2], [0]], [[0, 1], [4, 2]]]
    expected = np.log(1 + np.exp(-own)) + np.log(1 + np.exp(other)).sum(1)
    np.testing.assert_allclose(value.detach().numpy(), expected, rtol=1e-5)


def test_sasrec_bce_by_hand_at_the_positions_that_have_a_target():
    n = 6
    model = _built(SasRec, _data([[0, 1, 2, 3], [4, 5]], n), dim=4, loss="bce", max_length=5)
    histories = torch.tensor([[0, 1, 2], [4, n, n]])
    targets, negatives = torch.tensor([[1, 2, 3], [5, n, n]]), torch.tensor([[4, 5, 0], [2, 1, 3]])
    batch = Batch(torch.tensor([-1, -1]), histories, {"items": targets, "negatives": negatives})
    e = model.embed(batch)
    states, v = model.states(batch, e).detach().double().numpy(), _values(model)
    expected = []
    for row, position in ((0, 0), (0, 1), (0, 2), (1, 0)):
        logits = v["item_table.weight"][:n] @ states[row, position] + v["item_bias"]
        likely = 1 / (1 + np.exp(-logits))
        expected.append(-np.log(likely[targets[row, position]]) - np.log(1 - likely[negatives[row, position]]))
    value, row = model.loss_from(batch, e)
    assert row.tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(value.detach().numpy(), expected, rtol=1e-5)
