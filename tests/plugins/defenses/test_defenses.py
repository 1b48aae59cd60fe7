import numpy as np
import pytest
import torch
from pydantic import ValidationError

from robench.api import Rng, Step
from robench.api.attacks.ball import Ball
from robench.api.models.softmax import cross_entropy
from robench.testing import DefenseTests
from robench.testing.worlds import ReferencePairwise, ReferenceSequence, crowd
from robench_plugins.defenses.adversarial_training import AdversarialTraining
from robench_plugins.defenses.none import NoDefense


class TestNoDefense(DefenseTests):
    defense = NoDefense


class TestFgsmTraining(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1}
    adversarial = True


class TestFgsmTrainingWithoutShortcut(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1, "norm": "l2", "shortcut": False}
    adversarial = True


class TestPgdTraining(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1, "inner": "pgd", "steps": 2, "shortcut": False}
    adversarial = True


class TestNoisyTraining(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1, "noise": 2.0, "shortcut": False}
    adversarial = True


class TestNoisyL2Training(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1, "noise": 2.0, "norm": "l2", "warmup": 1}
    adversarial = True


class TestHingeTraining(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1, "loss": "hinge"}


def a_step(kind, *, ragged=False, number=3):
    """The first training step of a fresh model."""
    data, _ = crowd(ragged=ragged)
    model = kind()
    model.initialise(data, Rng(0))
    model.train()
    return Step(model, next(iter(model.batches(data, Rng(1)))), 0, 0.0, Rng(number))


@pytest.mark.parametrize("kind", [ReferencePairwise, ReferenceSequence])
def test_the_hinge_asks_for_a_margin_of_one_above_the_negative(kind):
    step = a_step(kind)
    found = AdversarialTraining.make(**{"lambda": 0.0, "epsilon": 0.0, "loss": "hinge"}).loss(step)
    margins = step.margins(step.embed()).value
    torch.testing.assert_close(found, (1 - margins).clamp_min(0).mean(), rtol=1e-6, atol=0)
    assert 0.5 < float(found.detach()) < 1.5, "about the margin before training"


def test_a_margin_is_the_positive_s_score_minus_the_negative_s():
    step = a_step(ReferencePairwise)
    users, items = (
        table.weight.detach().double().numpy() for table in (step.model.user_vectors, step.model.item_vectors)
    )
    pos, neg = (step.batch.targets[name].numpy() for name in ("positives", "negatives"))
    wanted = (users[step.batch.users.numpy()] * (items[pos] - items[neg])).sum(1)
    np.testing.assert_allclose(step.margins(step.embed()).value.detach().numpy(), wanted, rtol=1e-4, atol=1e-7)


def test_the_worked_examples_of_the_article_put_right():
    """Three targets of probability .8, .7 and .8 lose −(ln .8 + ln .7 + ln .8) = .803; the sign of a gradient is ±1."""
    shares = torch.tensor([0.8, 0.7, 0.8])
    logits = torch.stack([shares, 1 - shares], 1).log()
    loss = cross_entropy(logits, torch.eye(2), torch.zeros(2), torch.zeros(3, dtype=torch.int64)).sum()
    assert float(loss) == pytest.approx(0.803, abs=5e-4)
    step = Ball("linf", torch.ones(1)).ascent({"x": torch.tensor([[0.3, -0.01, 7.0, 0.0]])})
    assert step["x"].tolist() == [[1.0, -1.0, 1.0, 0.0]]


@pytest.mark.parametrize("kind", [ReferencePairwise, ReferenceSequence])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_training_budget_is_of_the_batch_s_valid_entries(kind, norm):
    step = a_step(kind, ragged=True)
    e = step.embed()
    (name,) = e.inputs
    values, valid = e.inputs[name].detach().double().numpy(), e.valid[name].numpy()
    if kind is ReferenceSequence:
        assert not valid.all(), "no padding in the batch"
    rms = np.sqrt((values[valid] ** 2).mean())
    entries = values.shape[-1] * valid.reshape(len(valid), -1).sum(1)
    wanted = 0.3 * rms * (np.sqrt(entries) if norm == "l2" else np.ones(len(entries)))
    np.testing.assert_allclose(step.ball(e, 0.3, norm).radius.numpy(), wanted, rtol=1e-6)


def by_hand(step, k, epsilon):
    """η and the unit step against i − j of a matrix factorisation, in float64."""
    users, items = (t.weight.detach().double() for t in (step.model.user_vectors, step.model.item_vectors))
    away = items[step.batch.targets["negatives"]] - items[step.batch.targets["positives"]]
    width = epsilon * users[step.batch.users].square().mean().sqrt()
    drawn = 2 * torch.rand(away.shape, generator=step.rng.child("noise").torch()).double() - 1
    return k * width * drawn, width, away


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_n_fgsm_steps_from_a_noisy_point_and_clips_nothing(norm):
    """Of −ln σ(⟨u, i − j⟩) the gradient by u points along j − i wherever u is, so δ is known in closed form."""
    step = a_step(ReferencePairwise)
    e = step.embed()
    delta = step.perturb_noisily(
        e, epsilon=0.1, norm=norm, noise=2.0, objective=lambda moved: step.losses(moved).value.mean()
    )["user"].double()
    eta, width, away = by_hand(step, 2.0, 0.1)
    direction = away.sign() if norm == "linf" else away / away.norm(dim=1, keepdim=True) * away.shape[1] ** 0.5
    torch.testing.assert_close(delta, eta + width * direction, rtol=1e-4, atol=1e-6)
    assert eta.abs().max() > 1.5 * width, "the noise is wider than the budget"
    assert delta.abs().max() > 1.5 * width, "clipped"
    assert step.achieved["epsilon_share"] > 1


def test_the_gradient_of_n_fgsm_is_taken_where_the_noise_has_led():
    """Of ‖x‖² it is 2 (x + η), whose signs are not those of x where the noise is the larger one."""
    step = a_step(ReferencePairwise)
    e = step.embed()
    x = e.inputs["user"].detach().double()
    delta = step.perturb_noisily(
        e, epsilon=0.5, norm="linf", noise=4.0, objective=lambda moved: moved.inputs["user"].square().sum()
    )["user"].double()
    eta, width, _ = by_hand(step, 4.0, 0.5)
    assert ((x + eta).sign() != x.sign()).any()
    torch.testing.assert_close(delta, eta + width * (x + eta).sign(), rtol=1e-4, atol=1e-6)


def test_noise_and_many_steps_do_not_go_together():
    with pytest.raises(ValidationError, match="noise"):
        AdversarialTraining.make(inner="pgd", noise=1.0)
