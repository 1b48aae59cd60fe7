"""The inner attack of adversarial training: PGD is a loop of projected steps, and it climbs the loss trained on."""

import numpy as np
import pytest
import torch

from robench.api import Rng, Step
from robench.api.models.torch import Losses
from robench.testing.worlds import ReferencePairwise, ReferenceSequence, crowd
from robench_plugins.defenses.adversarial_training import AdversarialTraining


class Noted(Step):
    """Keeps the δ that the inner attack spent."""

    def spent(self, delta, ball):
        self.delta = super().spent(delta, ball)
        return self.delta


class Curved(Noted):
    """Its loss of a user is −Σ w (x − c)² with w from 1 to 4, whose gradient turns on the way."""

    def losses(self, e):
        x = e.inputs["user"]
        value = -(stiffness(x.shape[1]) * (x - self.centre).square()).sum(1)
        return Losses(value, torch.arange(len(x)))


def stiffness(dim):
    return torch.linspace(1, 4, dim)


def a_step(step, kind=ReferencePairwise):
    """The first training step of a fresh model, and its clean inputs."""
    data, _ = crowd()
    model = kind()
    model.initialise(data, Rng(0))
    model.train()
    made = step(model, next(iter(model.batches(data, Rng(1)))), 0, 0.0, Rng(3))
    (values,) = made.embed().inputs.values()
    return made, values.detach()


def looped(x, centre, norm, epsilon, steps):
    """Madry et al.'s loop in float64: step 2.5 ε / steps, projected after each, from 0."""
    dim = x.shape[1]
    radius = epsilon * np.sqrt((x**2).mean()) * (np.sqrt(dim) if norm == "l2" else 1)
    weight = stiffness(dim).numpy().astype(float)
    delta = np.zeros_like(x)
    for _ in range(steps):
        gradient = -2 * weight * (x + delta - centre)
        if norm == "linf":
            delta = np.clip(delta + 2.5 / steps * radius * np.sign(gradient), -radius, radius)
        else:
            delta = delta + 2.5 / steps * radius * gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
            delta *= np.minimum(1, radius / np.linalg.norm(delta, axis=1, keepdims=True))
    return delta


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("steps", [3, 5])
def test_inner_pgd_is_a_loop_of_projected_steps(norm, weight, steps):
    """With λ = 0.5 its first gradient is that of the clean pass, which must make no difference."""
    step, x = a_step(Curved)
    step.centre = x + 0.1 * torch.randn(x.shape, generator=Rng(5).torch())
    settings = {"lambda": weight, "epsilon": 0.5, "norm": norm}
    AdversarialTraining.make(**settings, inner="pgd", steps=steps).loss(step)
    found = step.delta["user"].double().numpy()
    by_hand = looped(x.double().numpy(), step.centre.double().numpy(), norm, 0.5, steps)
    np.testing.assert_allclose(found, by_hand, rtol=0, atol=1e-5)
    AdversarialTraining.make(**settings, inner="fgsm").loss(step)
    one_step = step.delta["user"].double().numpy()
    apart = np.abs(found - one_step).max(1) > 0.1 * np.abs(one_step).max()
    assert apart.mean() > 0.5, "an objective on which one step would do"


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_inner_pgd_reaches_a_higher_loss_than_one_step_on_a_model(norm):
    raised = {}
    for inner in ("fgsm", "pgd"):
        step, _ = a_step(Noted, ReferenceSequence)
        AdversarialTraining.make(**{"lambda": 0.0}, epsilon=3.0, norm=norm, inner=inner, steps=10).loss(step)
        raised[inner] = float(step.losses(step.embed().plus(step.delta)).value.mean().detach())
    assert raised["pgd"] > raised["fgsm"]


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_with_the_hinge_the_inner_attack_climbs_the_hinge(weight):
    """Of max(0, 1 − ⟨u, i − j⟩) the gradient by u is j − i, and 0 where the margin is met; BPR's never is 0."""
    step, users = a_step(Noted)
    with torch.no_grad():  # margins of about 1: some met, some not
        step.model.item_vectors.weight.mul_(40)
    items = step.model.item_vectors.weight.detach().double()
    away = items[step.batch.targets["negatives"]] - items[step.batch.targets["positives"]]
    met = (users.double() * -away).sum(1) > 1
    assert 0.1 < met.float().mean() < 0.9
    width = 0.1 * users.double().square().mean().sqrt()
    settings = {"lambda": weight, "epsilon": 0.1, "norm": "linf"}
    wanted = {"hinge": width * away.sign() * ~met[:, None], "own": width * away.sign()}
    for loss, by_hand in wanted.items():
        AdversarialTraining.make(**settings, loss=loss).loss(step)
        torch.testing.assert_close(step.delta["user"].double(), by_hand, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_on_a_sequence_the_hinge_s_direction_is_another_than_the_own_loss_s(weight):
    step, _ = a_step(Noted, ReferenceSequence)
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
    assert (signs["hinge"] != signs["own"]).float().mean() > 0.05, "a case on which both losses agree"
    rms = e.inputs["items"].detach()[e.valid["items"]].square().mean().sqrt()
    AdversarialTraining.make(**{"lambda": weight}, epsilon=0.1, norm="linf", loss="hinge").loss(step)
    torch.testing.assert_close(step.delta["items"], 0.1 * rms * signs["hinge"], rtol=1e-5, atol=1e-9)
