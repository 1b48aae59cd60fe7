import math

import numpy as np
import pytest
import torch
from tests.plugins.defenses.first_step import RecordingStep, first_step, projected_step

from robench.api import TorchModel
from robench.api.models.divergence import kl_divergence
from robench.testing import DefenseTests
from robench.testing.worlds import ReferencePairwise, ReferenceSequence
from robench_plugins.defenses.trades import START, Trades
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.lightgcn import LightGcn
from robench_plugins.models.lstm import Lstm
from robench_plugins.models.mf import MatrixFactorization
from robench_plugins.models.multi_vae import MultiVae
from robench_plugins.models.neumf import NeuMf
from robench_plugins.models.sasrec import SasRec

MODELS = [
    (ReferencePairwise, {}),
    (ReferenceSequence, {}),
    (MatrixFactorization, {"factors": 8}),
    (MatrixFactorization, {"factors": 8, "loss": "ce"}),
    (LightGcn, {"factors": 8}),
    (NeuMf, {"batch_size": 16}),
    (MultiVae, {"hidden": 8, "latent": 4}),
    (Lstm, {"dim": 8, "hidden": 8}),
    (SasRec, {"dim": 8}),
    (SasRec, {"dim": 8, "loss": "bce"}),
    (Bert4Rec, {"dim": 8, "batch_size": 8}),
]


class TestTrades(DefenseTests):
    defense = Trades
    settings = {"epsilon": 0.2}


class TestTradesLinf(DefenseTests):
    defense = Trades
    settings = {"epsilon": 0.2, "norm": "linf", "shortcut": False, "warmup": 1}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def two_point_divergence(m, n):
    """Returns the Kullback-Leibler divergence Σ p ln (p / q) for margins m and n.

    Here p is (σ(m), 1 − σ(m)), and q is (σ(n), 1 − σ(n)).
    """
    p, q = sigmoid(m), sigmoid(n)
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


def trades_by_hand(users, direction, noise, norm, epsilon, steps):
    """Returns δ after projected steps that increase the divergence.

    The model is a matrix factorisation. The margin of a triple is ⟨u, i − j⟩, for the vectors of the user u, the
    positive i and the negative j. The first δ is small noise. The divergence has the gradient (σ(m′) − σ(m)) (i − j)
    with respect to δ. Here m is the clean margin, and m′ is the perturbed one.
    """
    width = epsilon * np.sqrt((users**2).mean())
    radius = width * (np.sqrt(users.shape[1]) if norm == "l2" else 1)
    delta = START * width * noise
    clean = sigmoid((users * direction).sum(1, keepdims=True))
    for _ in range(steps):
        gradient = (sigmoid(((users + delta) * direction).sum(1, keepdims=True)) - clean) * direction
        delta = projected_step(delta, gradient, norm, radius, steps)
    return delta


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("steps", [1, 4])
def test_inner_steps_and_loss_of_a_matrix_factorisation_by_hand(norm, steps):
    step = first_step(ReferencePairwise, RecordingStep)
    with torch.no_grad():  # at these sizes, margins differ and probabilities are not all ½
        for table in (step.model.user_vectors, step.model.item_vectors):
            table.weight.mul_(10)
    users = step.embed().inputs["user"].detach().double().numpy()
    items = step.model.item_vectors.weight.detach().double().numpy()
    direction = items[step.batch.targets["positives"]] - items[step.batch.targets["negatives"]]
    noise = step.noise(step.embed(), "normal")["user"].double().numpy()
    loss = Trades.make(**{"lambda": 0.25}, epsilon=0.5, norm=norm, steps=steps, beta=2.0).loss(step)
    delta = step.delta["user"].double().numpy()
    np.testing.assert_allclose(delta, trades_by_hand(users, direction, noise, norm, 0.5, steps), rtol=0, atol=2e-5)
    margin, moved = ((x * direction).sum(1) for x in (users, users + delta))
    divergence = two_point_divergence(margin, moved).mean()
    assert 0.1 < (moved > margin).mean() < 0.9, "the noise must decide the side"
    assert float(loss.detach()) == pytest.approx(np.log1p(np.exp(-margin)).mean() + 0.75 * 2 * divergence, rel=1e-5)
    assert step.achieved == pytest.approx({"epsilon_share": 1.0, "divergence": divergence}, rel=1e-4)


def test_one_triple_with_both_distributions_by_hand():
    """The margins ln 3 and 0 give p = (3/4, 1/4) and q = (1/2, 1/2)."""
    assert two_point_divergence(math.log(3), 0.0) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


@pytest.mark.parametrize("kind", [ReferencePairwise, ReferenceSequence])
def test_the_gradient_passes_through_clean_and_perturbed_predictions(kind):
    """The reference computes L + (1 − λ) β KL from whole tables of logits.

    L is the clean loss, and KL is the divergence between clean and perturbed predictions. Here (1 − λ) β is 1.
    """
    step = first_step(kind, RecordingStep, ragged=True)
    loss = Trades.make(**{"lambda": 0.5}, epsilon=1.0, beta=2.0).loss(step)
    weights = list(step.weights().values())
    ours = torch.autograd.grad(loss, weights)

    def log_probabilities(e):
        states, table, bias = step.logits(e)
        return (states @ table.T + bias).log_softmax(1)

    def plain(clean, moved):
        return (clean.exp() * (clean - moved)).sum(1).mean()

    e = step.embed()
    clean, moved = log_probabilities(e), log_probabilities(e.plus(step.delta))
    own = step.losses(e).value.mean()
    torch.testing.assert_close(loss, own + plain(clean, moved), rtol=1e-5, atol=1e-6)
    for parts, alike in (((clean, moved), True), ((clean.detach(), moved), False), ((clean, moved.detach()), False)):
        expected = torch.autograd.grad(own + plain(*parts), weights, retain_graph=True)
        distance = sum(float((a - b).norm()) for a, b in zip(ours, expected, strict=True))
        assert (distance < 1e-5) is alike


@pytest.mark.parametrize(("kind", "settings"), MODELS)
def test_the_distributions_are_those_of_the_training_loss(kind, settings):
    """The losses are the negative logarithms of the targets' probabilities.

    A binary loss has a term for each negative, too. In the first epoch of Mult-VAE, the loss has no KL term. Mult-VAE
    has one distribution for all items of a row.
    """
    step = first_step(kind, ragged=True, **settings)
    e = step.embed()
    loss = step.losses(e)
    states, table, bias = step.logits(e)
    logs = (states @ table.T + bias).log_softmax(1)
    sampled = logs.shape[1] == 2
    if not sampled:
        targets = step.batch.targets.get("items", step.batch.histories)
        if isinstance(step.model, MatrixFactorization):
            value = -logs.gather(1, step.batch.targets["positives"].unsqueeze(1)).squeeze(1)
        else:
            row, position = (targets < step.model.n_items).nonzero(as_tuple=True)
            chosen = row if kind is MultiVae else torch.arange(len(row))
            value = -logs[chosen, targets[row, position]]
    elif len(logs) == len(loss.value):
        value = -logs[:, 0]
    else:  # one distribution per positive, followed by one per negative
        positives, negatives = -logs[: len(loss.value), 0], -logs[len(loss.value) :, 1]
        value = positives + negatives.reshape(len(positives), -1).sum(1)
    torch.testing.assert_close(value, loss.value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kind", "settings"), MODELS)
def test_all_passes_have_the_same_dropout_and_noise(kind, settings):
    """If all passes draw the same numbers and ε is 0, the divergence is exactly 0."""
    step = first_step(kind, **settings)
    before = torch.get_rng_state()
    loss = Trades.make(epsilon=0.0).loss(step)
    assert torch.equal(before, torch.get_rng_state())
    assert step.achieved == {"epsilon_share": 0.0, "divergence": 0.0}
    assert torch.equal(loss, step.losses(step.embed()).value.mean())


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize(("kind", "settings"), MODELS)
def test_the_steps_reach_a_higher_divergence_than_noise_of_the_same_length(kind, settings, norm):
    step = first_step(kind, RecordingStep, ragged=True, **settings)
    with torch.no_grad():  # at their first values, the predictions of some models hardly depend on their inputs
        for table in step.tables().values():
            table.mul_(10)
    Trades.make(epsilon=0.5, norm=norm, steps=3).loss(step)
    assert 0.9 < step.achieved["epsilon_share"] < 1 + 1e-5
    e = step.embed()
    noise = step.ball(e, 0.5, norm).ascent(step.noise(e, "normal"))
    by_noise = float(kl_divergence(step.logits(e), step.logits(e.plus(noise))).mean().detach())
    assert step.achieved["divergence"] > 1.2 * by_noise > 0


def test_without_the_random_start_nothing_would_move(monkeypatch):
    step = first_step(ReferenceSequence, RecordingStep)
    monkeypatch.setattr(step, "noise", lambda e, kind: e.zero())
    Trades.make(epsilon=0.5).loss(step)
    assert step.achieved == {"epsilon_share": 0.0, "divergence": 0.0}


def test_a_model_without_logits_is_left_out():
    class Bare(ReferencePairwise):
        logits_from = TorchModel.logits_from

    assert Trades.make().problem(Bare) == "has no logits, whose divergence this defence needs"
    assert not Trades.make().problem(ReferencePairwise)


def test_a_disconnected_version_fails_the_conformance_tests():
    class Disconnected(Trades):
        def total_loss(self, step):
            """Returns the loss with clean predictions in place of the perturbed ones."""
            plus = type(step.embed()).plus
            super().total_loss(step)
            step.embed = lambda embed=step.embed: Still(embed(), plus)
            return super().total_loss(step)

    def Still(e, plus):
        object.__setattr__(e, "plus", lambda delta: e)
        return e

    class Tests(DefenseTests):
        defense = Disconnected
        settings = {"epsilon": 0.2}

    for model in (ReferencePairwise, ReferenceSequence):
        with pytest.raises(AssertionError, match="does not reach the gradient"):
            Tests().test_the_perturbation_reaches_the_gradient(model)
        with pytest.raises(AssertionError, match="does not reach the loss"):
            Tests().test_the_perturbed_loss_is_not_below_the_clean_one(model)
