import numpy as np
import pytest
import torch

from robench.api import Embedded, PluginError, Rng
from robench.api.data import joined
from robench.testing import DefenseTests
from robench.testing.worlds import ReferencePairwise, ReferenceSequence, crowd, fitted, measured_victim
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.defenses.smoothing import Smoothing
from robench_plugins.models.popularity import Popularity


class TestSmoothing(DefenseTests):
    defense = Smoothing


class TestMedianSmoothing(DefenseTests):
    defense = Smoothing
    settings = {"average": "median", "sigma": 0.3, "draws": 3}


@pytest.fixture(params=[ReferencePairwise, ReferenceSequence])
def world(request):
    """Returns a fitted model, its data and the held-out items."""
    data, test = crowd(ragged=True)
    model, _ = fitted(request.param.make(epochs=4), data)
    return model, data, test


def noisy_scores(model, batch, sigma, draws):
    """Returns the scores of noisy copies of a batch, float [draws, rows, n_items].

    The standard deviation of the noise is ``sigma`` times the root mean square of the row's valid inputs.
    """
    e = model.embed(batch)
    (name,) = e.inputs
    x, valid = e.inputs[name], e.valid[name].unsqueeze(-1)
    axes = tuple(range(1, x.dim()))
    entries = valid.sum(axes) * x.shape[-1]
    rms = ((x * valid).square().sum(axes) / entries).sqrt().reshape(-1, *[1] * (x.dim() - 1))
    scores = []
    for _ in range(draws):
        noise = sigma * rms * torch.randn_like(x) * valid
        scores.append(model.score_from(batch, Embedded({name: x + noise}, e.valid, e.context)))
    return torch.stack(scores)


@pytest.mark.parametrize("average", ["mean", "median"])
def test_scores_are_the_average_of_noisy_copies(world, average):
    model, data, _ = world
    users, history = np.arange(7), joined(data.train, data.validation)
    wrapped = Smoothing.make(sigma=0.4, draws=5, average=average).wrap(model, Rng(0))
    with Rng(1).stream():
        scores = wrapped.scores(users, history)
    with Rng(1).stream(), torch.no_grad():
        stack = noisy_scores(model, model.queries(users, history), 0.4, 5)
    expected = stack.mean(0) if average == "mean" else stack.sort(0).values[2]
    np.testing.assert_allclose(scores, expected.numpy(), rtol=1e-5, atol=1e-6)
    with Rng(2).stream():
        assert not np.array_equal(wrapped.scores(users, history), scores), "another seed must give other noise"


def test_little_noise_changes_little(world):
    model, data, _ = world
    users, history = np.arange(7), joined(data.train, data.validation)
    wrapped = Smoothing.make(sigma=1e-7, draws=2).wrap(model, Rng(0))
    np.testing.assert_allclose(wrapped.scores(users, history), model.scores(users, history), rtol=1e-4, atol=1e-5)


def test_the_gradient_is_that_of_the_average(world):
    model, data, _ = world
    wrapped = Smoothing.make(sigma=0.3, draws=3).wrap(model, Rng(0))
    batch = wrapped.queries(np.arange(5), data.train)
    e = wrapped.embed(batch)
    (name,) = e.inputs
    start, direction = e.inputs[name].detach().double(), torch.randn(e.inputs[name].shape).double()
    wrapped.double()
    context = wrapped.embed(batch).context

    def value(x):
        with Rng(5).stream():
            return wrapped.score_from(batch, Embedded({name: x}, e.valid, context)).square().sum()

    leaf = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(leaf), leaf)
    slope = (value(start + 1e-5 * direction) - value(start - 1e-5 * direction)) / 2e-5
    masked = (gradient * direction).sum()
    torch.testing.assert_close(masked, slope.detach(), rtol=1e-4, atol=1e-6)


def test_a_row_without_items_has_finite_scores_and_gradients():
    data, _ = crowd()
    model, _ = fitted(ReferenceSequence.make(epochs=1), data)
    wrapped = Smoothing.make().wrap(model, Rng(0))
    batch = wrapped.queries(np.arange(2), data.train)
    e = wrapped.embed(batch)
    empty = {name: torch.zeros_like(part) for name, part in e.valid.items()}
    leaf = torch.zeros_like(e.inputs["items"]).requires_grad_()
    scores = wrapped.score_from(batch, Embedded({"items": leaf}, empty, e.context))
    (gradient,) = torch.autograd.grad(scores.sum(), leaf)
    assert torch.isfinite(scores).all()
    assert torch.isfinite(gradient).all()


def test_the_host_can_attack_it(world):
    model, data, test = world
    wrapped = Smoothing.make(draws=2).wrap(model, Rng(0))
    attacked = measured_victim(wrapped, data, test).attacked(Pgd.make(norm="l2", steps=3), 0.3, "pgd")
    assert attacked.arrays["ranks"].shape == (data.n_real_users,)


def test_a_model_without_embedded_inputs_is_refused():
    with pytest.raises(PluginError, match="Popularity"):
        Smoothing.make().wrap(Popularity(), Rng(0))
