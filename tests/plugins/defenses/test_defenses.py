import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.plugins.defenses.first_step import first_step

from robench.api.attacks.ball import Ball
from robench.api.models.softmax import cross_entropy
from robench.testing import DefenseTests
from robench.testing.worlds import ReferencePairwise, ReferenceSequence
from robench_plugins.defenses.adversarial_training import AdversarialTraining
from robench_plugins.defenses.none import NoDefense


class TestNoDefense(DefenseTests):
    defense = NoDefense


class TestFgsmTraining(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1}


class TestFgsmTrainingWithoutShortcut(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1, "norm": "l2", "shortcut": False}


class TestPgdTraining(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1, "inner": "pgd", "steps": 2, "shortcut": False}


class TestNoisyTraining(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1, "noise": 2.0, "shortcut": False}


class TestNoisyL2Training(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1, "noise": 2.0, "norm": "l2", "warmup": 1}


class TestHingeTraining(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1, "loss": "hinge"}
    adversarial = False  # L_robust is another loss than the model's own


@pytest.mark.parametrize("kind", [ReferencePairwise, ReferenceSequence])
def test_the_hinge_requires_a_margin_of_one_above_the_negative(kind):
    step = first_step(kind)
    loss = AdversarialTraining.make(**{"lambda": 0.0, "epsilon": 0.0, "loss": "hinge"}).loss(step)
    margins = step.margins(step.embed()).value
    torch.testing.assert_close(loss, (1 - margins).clamp_min(0).mean(), rtol=1e-6, atol=0)
    assert 0.5 < float(loss.detach()) < 1.5, "the loss before training must be near the margin"


def test_a_margin_is_the_difference_of_the_scores_of_positive_and_negative():
    step = first_step(ReferencePairwise)
    users, items = (
        table.weight.detach().double().numpy() for table in (step.model.user_vectors, step.model.item_vectors)
    )
    pos, neg = (step.batch.targets[name].numpy() for name in ("positives", "negatives"))
    expected = (users[step.batch.users.numpy()] * (items[pos] - items[neg])).sum(1)
    np.testing.assert_allclose(step.margins(step.embed()).value.detach().numpy(), expected, rtol=1e-4, atol=1e-7)


def test_the_corrected_examples_of_the_article():
    """Three targets with the probabilities .8, .7 and .8 have a loss of .803.

    The loss is −(ln .8 + ln .7 + ln .8). The step of steepest ascent in L∞ is the sign of the gradient: 1, −1 or 0.
    """
    shares = torch.tensor([0.8, 0.7, 0.8])
    logits = torch.stack([shares, 1 - shares], 1).log()
    loss = cross_entropy(logits, torch.eye(2), torch.zeros(2), torch.zeros(3, dtype=torch.int64)).sum()
    assert float(loss) == pytest.approx(0.803, abs=5e-4)
    step = Ball("linf", torch.ones(1)).ascent({"x": torch.tensor([[0.3, -0.01, 7.0, 0.0]])})
    assert step["x"].tolist() == [[1.0, -1.0, 1.0, 0.0]]


@pytest.mark.parametrize("kind", [ReferencePairwise, ReferenceSequence])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_training_budget_follows_the_valid_entries_of_the_batch(kind, norm):
    step = first_step(kind, ragged=True)
    e = step.embed()
    (name,) = e.inputs
    values, valid = e.inputs[name].detach().double().numpy(), e.valid[name].numpy()
    if kind is ReferenceSequence:
        assert not valid.all(), "the batch needs padding"
    rms = np.sqrt((values[valid] ** 2).mean())
    entries = values.shape[-1] * valid.reshape(len(valid), -1).sum(1)
    expected = 0.3 * rms * (np.sqrt(entries) if norm == "l2" else np.ones(len(entries)))
    np.testing.assert_allclose(step.ball(e, 0.3, norm).radius.numpy(), expected, rtol=1e-6)


def by_hand(step, k, epsilon):
    """Returns the noise η, the scaled budget ε · RMS, and the direction j − i.

    The noise and the direction have one row per triple of a user, a positive item i and a negative item j. The model is
    a matrix factorisation. The computation uses float64.
    """
    users, items = (t.weight.detach().double() for t in (step.model.user_vectors, step.model.item_vectors))
    direction = items[step.batch.targets["negatives"]] - items[step.batch.targets["positives"]]
    width = epsilon * users[step.batch.users].square().mean().sqrt()
    noise = 2 * torch.rand(direction.shape, generator=step.rng.child("noise").torch()).double() - 1
    return k * width * noise, width, direction


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_n_fgsm_steps_from_a_noisy_point_and_clips_nothing(norm):
    """For a matrix factorisation, the perturbation δ has a closed form.

    For a user vector u, a positive item i and a negative item j, the gradient of −ln σ(⟨u, i − j⟩) with respect to u
    always points along j − i.
    """
    step = first_step(ReferencePairwise)
    e = step.embed()
    delta = step.perturb_noisily(
        e, epsilon=0.1, norm=norm, noise=2.0, objective=lambda moved: step.losses(moved).value.mean()
    )["user"].double()
    eta, width, direction = by_hand(step, 2.0, 0.1)
    unit = direction / direction.norm(dim=1, keepdim=True) * direction.shape[1] ** 0.5
    ascent = direction.sign() if norm == "linf" else unit
    torch.testing.assert_close(delta, eta + width * ascent, rtol=1e-4, atol=1e-6)
    assert eta.abs().max() > 1.5 * width, "the noise must be wider than the budget"
    assert delta.abs().max() > 1.5 * width, "the perturbation was clipped"
    assert step.achieved["epsilon_share"] > 1


def test_the_gradient_of_n_fgsm_is_taken_at_the_noisy_point():
    """The gradient of ‖x‖² at the noisy point x + η is 2 (x + η).

    Here x holds the vectors of the users, and η is the noise. If η is larger than x, some signs of this gradient differ
    from those of x.
    """
    step = first_step(ReferencePairwise)
    e = step.embed()
    x = e.inputs["user"].detach().double()
    delta = step.perturb_noisily(
        e, epsilon=0.5, norm="linf", noise=4.0, objective=lambda moved: moved.inputs["user"].square().sum()
    )["user"].double()
    eta, width, _ = by_hand(step, 4.0, 0.5)
    assert ((x + eta).sign() != x.sign()).any()
    torch.testing.assert_close(delta, eta + width * (x + eta).sign(), rtol=1e-4, atol=1e-6)


def test_noise_is_refused_with_inner_pgd():
    with pytest.raises(ValidationError, match="noise"):
        AdversarialTraining.make(inner="pgd", noise=1.0)
