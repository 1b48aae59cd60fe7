"""Tests AMR: adversarial training on the vectors of items."""

import math

import numpy as np
import pytest
import torch
from tests.plugins.defenses.first_step import first_step

from robench.api import Batch, PluginError, Rng, Step
from robench.testing import DefenseTests
from robench.testing.worlds import ReferenceFeatures, ReferencePairwise
from robench_plugins.defenses.amr import Amr
from robench_plugins.models.vbpr import Vbpr


class TestAmr(DefenseTests):
    defense = Amr
    settings = {"epsilon": 0.3}

    @pytest.fixture(params=[ReferenceFeatures, Vbpr])
    def model(self, request):
        return request.param


def triple_step(**settings):
    """Returns a step in which the margin is ⟨θ, E (f_i − f_j)⟩.

    Here θ = (3, 4), E = I and f_i − f_j = (1, 0).
    """
    model = first_step(Vbpr, factors=1, visual_factors=2).model
    features = torch.zeros(model.n_items, 2)
    features[0, 0] = 1.0
    with torch.no_grad():
        for part in model.parameters():
            part.zero_()
        model.item_features = features
        model.projection = torch.nn.Parameter(torch.eye(2))
        model.visual_bias = torch.nn.Parameter(torch.zeros(2))
        model.user_vectors.weight[0, 1:] = torch.tensor([3.0, 4.0])
    triple = {"positives": torch.tensor([0]), "negatives": torch.tensor([1])}
    return Step(model, Batch(torch.tensor([0]), torch.empty(1, 0, dtype=torch.int64), triple), 0, 0.0, Rng(3))


def test_one_triple_by_hand():
    """Only f_i moves, because f_j is missing.

    f_i = (1, 0) − .5 · (.6, .8) = (.7, −.4), and the margin is .5.
    """
    step = triple_step()
    assert float(step.losses(step.embed()).value.detach()) == pytest.approx(math.log1p(math.exp(-3)), rel=1e-5)
    left = Amr.make(**{"lambda": 0.25, "scale": "absolute", "epsilon": 0.5}).loss(step)
    assert float(left.detach()) == pytest.approx(0.75 * math.log1p(math.exp(-0.5)), rel=1e-5)
    assert step.achieved == pytest.approx({"lambda_amr": 3.0, "epsilon_share": 1.0})


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_shifts_follow_the_gradient_item_by_item_within_a_share_of_the_rms(norm):
    step = first_step(ReferenceFeatures)
    ((name, vectors),) = step.features().items()
    leaf = torch.zeros_like(vectors, requires_grad=True)
    (gradient,) = torch.autograd.grad(step.losses_under({name: leaf}).value.mean(), [leaf])
    shift = Amr.make(epsilon=0.3, norm=norm).shift(step, vectors, gradient).double().numpy()
    g = gradient.double().numpy()
    rms = np.sqrt(np.square(vectors.double().numpy()).mean())
    length = np.linalg.norm(g, axis=1, keepdims=True)
    own = g / np.where(length > 0, length, 1) * np.sqrt(vectors.shape[1]) if norm == "l2" else np.sign(g)
    np.testing.assert_allclose(shift, 0.3 * rms * own, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_gradients_of_the_optimiser_are_those_of_the_whole_loss(weight):
    defense = Amr.make(**{"lambda": weight, "epsilon": 0.3})
    step, other = first_step(ReferenceFeatures), first_step(ReferenceFeatures)
    defense.loss(step).backward()
    ((name, vectors),) = other.features().items()
    leaf = torch.zeros_like(vectors, requires_grad=True)
    (gradient,) = torch.autograd.grad(other.losses_under({name: leaf}).value.mean(), [leaf])
    shift = {name: defense.shift(other, vectors, gradient)}
    whole = weight * other.losses(other.embed()).value.mean() + (1 - weight) * other.losses_under(shift).value.mean()
    whole.backward()
    for one, two in zip(step.model.parameters(), other.model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-4, atol=1e-7)


def test_a_model_without_vectors_is_not_defended():
    assert Amr.make().problem(ReferencePairwise) == "reads no vectors of items"
    assert Amr.make().problem(Vbpr) == ""
    with pytest.raises(PluginError, match="reads no vectors of items"):
        first_step(ReferencePairwise).features()
