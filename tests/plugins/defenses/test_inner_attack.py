"""Tests the inner PGD of adversarial training.

The inner PGD takes projected steps that increase the robust loss.
"""

import numpy as np
import pytest
import torch
from tests.plugins.defenses.first_step import RecordingStep, first_step, projected_step

from robench.api import Rng
from robench.api.models.torch import Losses
from robench.testing.worlds import ReferencePairwise, ReferenceSequence
from robench_plugins.defenses.adversarial_training import AdversarialTraining


class CurvedStep(RecordingStep):
    """A step with the loss −Σ w (x − c)² per user, for the inputs x and a centre c.

    The weights w run from 1 to 4. Therefore the direction of the gradient changes on the way to the centre.
    """

    def losses(self, e):
        x = e.inputs["user"]
        value = -(curvature(x.shape[1]) * (x - self.centre).square()).sum(1)
        return Losses(value, torch.arange(len(x)))


def curvature(dim):
    """Returns the weights w of the loss of ``CurvedStep``, float [dim]."""
    return torch.linspace(1, 4, dim)


def recorded_step(step_class, model_class=ReferencePairwise):
    """Returns the first training step of a new model, and the clean inputs."""
    step = first_step(model_class, step_class)
    (values,) = step.embed().inputs.values()
    return step, values.detach()


def pgd_by_hand(x, centre, norm, epsilon, steps):
    """Returns δ after PGD (Madry et al. 2018), computed in float64.

    PGD starts at 0. The length of a step is 2.5 / ``steps`` times the radius.
    """
    dim = x.shape[1]
    radius = epsilon * np.sqrt((x**2).mean()) * (np.sqrt(dim) if norm == "l2" else 1)
    weight = curvature(dim).numpy().astype(float)
    delta = np.zeros_like(x)
    for _ in range(steps):
        gradient = -2 * weight * (x + delta - centre)
        delta = projected_step(delta, gradient, norm, radius, steps)
    return delta


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("steps", [3, 5])
def test_inner_pgd_is_a_loop_of_projected_steps(norm, weight, steps):
    """At λ = 0.5, the first gradient comes from the clean pass.

    This gradient must lead to the same steps as a gradient from a separate pass.
    """
    step, x = recorded_step(CurvedStep)
    step.centre = x + 0.1 * torch.randn(x.shape, generator=Rng(5).torch())
    settings = {"lambda": weight, "epsilon": 0.5, "norm": norm}
    AdversarialTraining.make(**settings, inner="pgd", steps=steps).loss(step)
    delta = step.delta["user"].double().numpy()
    by_hand = pgd_by_hand(x.double().numpy(), step.centre.double().numpy(), norm, 0.5, steps)
    np.testing.assert_allclose(delta, by_hand, rtol=0, atol=1e-5)
    AdversarialTraining.make(**settings, inner="fgsm").loss(step)
    one_step = step.delta["user"].double().numpy()
    differs = np.abs(delta - one_step).max(1) > 0.1 * np.abs(one_step).max()
    assert differs.mean() > 0.5, "the loss must need more than one step"


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_inner_pgd_reaches_a_higher_loss_than_one_step_on_a_model(norm):
    losses = {}
    for inner in ("fgsm", "pgd"):
        step, _ = recorded_step(RecordingStep, ReferenceSequence)
        AdversarialTraining.make(**{"lambda": 0.0}, epsilon=3.0, norm=norm, inner=inner, steps=10).loss(step)
        losses[inner] = float(step.losses(step.embed().plus(step.delta)).value.mean().detach())
    assert losses["pgd"] > losses["fgsm"]


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_with_the_hinge_the_inner_attack_climbs_the_hinge(weight):
    """The hinge max(0, 1 − ⟨u, i − j⟩) has the gradient j − i if ⟨u, i − j⟩ < 1.

    The gradient is taken with respect to the user vector u. The vectors i and j are those of the positive and the
    negative item. If the margin is met, the gradient is 0. The gradient of BPR is never 0.
    """
    step, users = recorded_step(RecordingStep)
    with torch.no_grad():  # the margins are now near 1, and only some of them are met
        step.model.item_vectors.weight.mul_(40)
    items = step.model.item_vectors.weight.detach().double()
    direction = items[step.batch.targets["negatives"]] - items[step.batch.targets["positives"]]
    met = (users.double() * -direction).sum(1) > 1
    assert 0.1 < met.float().mean() < 0.9
    width = 0.1 * users.double().square().mean().sqrt()
    settings = {"lambda": weight, "epsilon": 0.1, "norm": "linf"}
    expected = {"hinge": width * direction.sign() * ~met[:, None], "own": width * direction.sign()}
    for loss, by_hand in expected.items():
        AdversarialTraining.make(**settings, loss=loss).loss(step)
        torch.testing.assert_close(step.delta["user"].double(), by_hand, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_on_a_sequence_the_hinge_has_another_direction_than_the_own_loss(weight):
    step, _ = recorded_step(RecordingStep, ReferenceSequence)
    with torch.no_grad():
        for part in step.model.parameters():
            part.mul_(3)
    e = step.embed()
    signs = {}
    for name, objective in (
        ("hinge", lambda moved: (1 - step.margins(moved).value).clamp_min(0).mean()),
        ("own", lambda moved: step.losses(moved).value.mean()),
    ):
        leaf = e.inputs["items"].detach().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(type(e)({"items": leaf}, e.valid, e.context)), leaf)
        signs[name] = gradient.sign() * e.valid["items"][..., None]
    assert (signs["hinge"] != signs["own"]).float().mean() > 0.05, "the losses must disagree"
    rms = e.inputs["items"].detach()[e.valid["items"]].square().mean().sqrt()
    AdversarialTraining.make(**{"lambda": weight}, epsilon=0.1, norm="linf", loss="hinge").loss(step)
    torch.testing.assert_close(step.delta["items"], 0.1 * rms * signs["hinge"], rtol=1e-5, atol=1e-9)
