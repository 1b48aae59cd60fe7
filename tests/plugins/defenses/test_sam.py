import math

import numpy as np
import pytest
import torch
from tests.plugins.defenses.first_step import first_step, triple_step
from torch.nn.utils import clip_grad_norm_

from robench.api import Rng, Step
from robench.testing import DefenseTests
from robench.testing.worlds import ReferencePairwise, ReferenceSequence, crowd, fitted
from robench_plugins.defenses.sam import Sam
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.lightgcn import LightGcn
from robench_plugins.models.lstm import Lstm
from robench_plugins.models.multi_vae import MultiVae
from robench_plugins.models.neumf import NeuMf
from robench_plugins.models.sasrec import SasRec

MODELS = [
    (ReferencePairwise, {}),
    (ReferenceSequence, {}),
    (LightGcn, {"factors": 8}),
    (NeuMf, {"batch_size": 16}),
    (MultiVae, {"hidden": 8, "latent": 4}),
    (Lstm, {"dim": 8, "hidden": 8}),
    (SasRec, {"dim": 8}),
    (Bert4Rec, {"dim": 8, "batch_size": 8}),
]


class TestSam(DefenseTests):
    defense = Sam
    settings = {"epsilon": 0.05}


class TestSamWithoutShortcut(DefenseTests):
    defense = Sam
    settings = {"epsilon": 0.05, "shortcut": False, "warmup": 1}


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_one_triple_by_hand():
    """The triple has the user u = (3, 4), and the items i = (1, 0) and j = 0.

    The positive item is i, and the negative item is j. The margin is m = ⟨u, i − j⟩ = 3. The gradient of −ln σ(m) is
    −σ(−m) times (1, 0), (3, 4) and (−3, −4), in the order u, i, j. The length of these three vectors together is √51.
    With ρ = √51 / 10, u becomes (2.9, 4), and i − j becomes (1, 0) − .2 (3, 4) = (.4, −.8). The margin is then 1.16 −
    3.2 = −2.04.
    """
    step = triple_step()
    model = step.model
    left = Sam.make(**{"lambda": 0.25}, epsilon=math.sqrt(51) / 10).loss(step)
    assert float(left.detach()) == pytest.approx(0.75 * math.log1p(math.exp(2.04)), rel=1e-5)
    assert step.achieved == pytest.approx({"epsilon_share": 1.0})
    torch.autograd.backward(left)
    clean, moved = 0.25 * sigmoid(-3), 0.75 * sigmoid(2.04)
    expected = [[-clean - 0.4 * moved, 0.8 * moved], [-3 * clean - 2.9 * moved, -4 * clean - 4 * moved]]
    gradients = [table.weight.grad[0, :2].tolist() for table in (model.user_vectors, model.item_vectors)]
    assert np.allclose(gradients, expected, rtol=1e-5)
    assert np.allclose(model.item_vectors.weight.grad[1, :2], -np.array(expected[1]), rtol=1e-5)
    assert model.user_vectors.weight[0, :2].tolist() == [3.0, 4.0]


@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize(("kind", "settings"), MODELS)
def test_the_gradient_is_that_of_moved_weights(kind, settings, weight):
    """The reference moves the weights of a copy, and does not move them back."""
    step, other = (first_step(kind, **settings) for _ in range(2))
    before = {name: w.detach().clone() for name, w in step.weights().items()}
    random_state = torch.get_rng_state()
    loss = Sam.make(**{"lambda": weight}, epsilon=0.3).loss(step)
    assert torch.equal(random_state, torch.get_rng_state())
    assert all(torch.equal(w, before[name]) for name, w in step.weights().items())
    clean = other.losses(other.embed()).value.mean()
    gradients = dict(zip(before, torch.autograd.grad(clean, list(other.weights().values())), strict=True))
    for name, w in step.weights().items():
        assert w.grad is None if weight == 0 else torch.allclose(w.grad, weight * gradients[name], rtol=1e-5)
    length = torch.stack([g.square().sum() for g in gradients.values()]).sum().sqrt()
    with torch.no_grad():
        for name, w in other.weights().items():
            w.add_(0.3 * gradients[name] / length)
    moved = other.losses(other.embed()).value.mean()
    assert float(moved.detach()) > float(clean.detach())
    torch.testing.assert_close(loss, (1 - weight) * moved, rtol=1e-5, atol=1e-6)
    torch.autograd.backward(loss)
    there = torch.autograd.grad(moved, list(other.weights().values()))
    for (name, w), gradient in zip(step.weights().items(), there, strict=True):
        torch.testing.assert_close(w.grad, weight * gradients[name] + (1 - weight) * gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [ReferencePairwise, ReferenceSequence])
def test_an_epoch_with_the_optimiser_of_the_host_is_sam_by_hand(kind):
    """The reference moves the weights, and moves them back before Adam takes a step."""
    data, _ = crowd()
    ours, _ = fitted(kind.make(epochs=1), data, Sam.make(**{"lambda": 0.0}, epsilon=0.2))
    model, rng = kind.make(epochs=1), Rng(0).child("fit")
    model.initialise(data, rng)
    model.train()
    weights = list(model.parameters())
    adam = torch.optim.Adam(weights, lr=model.config.learning_rate, weight_decay=model.config.weight_decay)
    for number, batch in enumerate(model.batches(data, rng.child("batches", 0))):
        step = Step(model, batch, 0, 0.0, rng.child("step", number))
        gradients = torch.autograd.grad(step.losses(step.embed()).value.mean(), weights)
        length = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
        kept = [w.detach().clone() for w in weights]
        with torch.no_grad():
            for w, g in zip(weights, gradients, strict=True):
                w.add_(0.2 * g / length)
        adam.zero_grad()
        torch.autograd.backward(step.losses(step.embed()).value.mean())
        with torch.no_grad():
            for w, old in zip(weights, kept, strict=True):
                w.copy_(old)
        clip_grad_norm_(weights, model.config.clip)
        adam.step()
    expected = model.state()
    for name, part in ours.state().items():
        np.testing.assert_allclose(part, expected[name], rtol=1e-3, atol=1e-4)


def test_without_rho_the_loss_is_the_clean_one():
    step = first_step(ReferenceSequence)
    loss = Sam.make(**{"lambda": 0.0}, epsilon=0.0).loss(step)
    assert torch.equal(loss, step.losses(step.embed()).value.mean())
    assert step.achieved == {"epsilon_share": 0.0}


def test_a_zero_gradient_moves_nothing():
    step = first_step(ReferencePairwise)
    gradients = {name: torch.zeros_like(w) for name, w in step.weights().items()}
    assert not any(part.any() for part in Sam.make(epsilon=0.1).perturbation(step, gradients).values())
    assert step.achieved == {"epsilon_share": 0.0}


def test_weights_return_even_if_the_loss_fails(monkeypatch):
    step = first_step(ReferencePairwise)
    before = {name: w.detach().clone() for name, w in step.weights().items()}
    monkeypatch.setattr(step.model, "loss_from", lambda *_: pytest.fail("a planted failure"))
    with pytest.raises(pytest.fail.Exception, match="planted"):
        step.loss_at({name: torch.ones_like(w) for name, w in before.items()})
    assert all(torch.equal(w, before[name]) for name, w in step.weights().items())


def test_a_disconnected_version_fails_the_conformance_tests():
    class Disconnected(Sam):
        def perturbation(self, step, gradients):
            """Returns zeros, although the full radius is recorded as used."""
            return {name: 0 * part for name, part in super().perturbation(step, gradients).items()}

    class Tests(DefenseTests):
        defense = Disconnected
        settings = {"epsilon": 0.05}

    for model in (ReferencePairwise, ReferenceSequence):
        with pytest.raises(AssertionError, match="does not reach the gradient"):
            Tests().test_the_perturbation_reaches_the_gradient(model)
        with pytest.raises(AssertionError, match="does not reach the loss"):
            Tests().test_the_perturbed_loss_is_not_below_the_clean_one(model)
