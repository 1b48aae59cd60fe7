import numpy as np
import pytest
import torch
from tests.plugins.defenses.first_step import first_step, triple_step

from robench.api import Rng, SettingError, Step
from robench.testing import DefenseTests
from robench.testing.worlds import ReferencePairwise, ReferenceSequence, crowd, fitted, same_state
from robench_plugins.defenses.denoise import Denoise
from robench_plugins.models.ease import Ease
from robench_plugins.models.mf import MatrixFactorization
from robench_plugins.models.multi_vae import MultiVae
from robench_plugins.models.neumf import NeuMf
from robench_plugins.models.sasrec import SasRec

BINARY = [(NeuMf, {"batch_size": 32}), (SasRec, {"dim": 8, "loss": "bce"})]
MODELS = [*BINARY, (ReferencePairwise, {}), (ReferenceSequence, {}), (MatrixFactorization, {"loss": "ce"})]


class TestTruncated(DefenseTests):
    defense = Denoise
    settings = {"ramp": 1}
    adversarial = False  # it trains on fewer interactions, and perturbs nothing


class TestReweighted(DefenseTests):
    defense = Denoise
    settings = {"method": "r-ce"}
    adversarial = False  # as above


def late(step):
    """Returns the same step in a later epoch."""
    return Step(step.model, step.batch, 9, 0.5, Rng(3))


def binary_terms(step):
    """Returns ln p for each positive, [N], and ln(1 − q) for each negative, [N, n].

    Here p and q are the predicted probabilities of the positive and of the negative.
    """
    with torch.no_grad():
        logits = step.logits(step.embed())
        score = logits.states[:, 0].double().numpy()
    count = len(step.losses(step.embed()).value)
    positive, negative = score[:count], score[count:].reshape(count, -1)
    return -np.logaddexp(0, -positive), -np.logaddexp(0, negative)


@pytest.mark.parametrize(("kind", "settings"), BINARY)
def test_the_truncated_loss_is_equation_3(kind, settings):
    step = late(first_step(kind, **settings))
    positive, negative = binary_terms(step)
    losses = -positive
    dropped = np.argsort(-losses)[: int(0.2 * len(losses))]
    losses[dropped] = 0
    expected = (losses - negative.sum(1)).mean()
    assert float(Denoise().loss(step).detach()) == pytest.approx(expected, rel=1e-5)
    assert step.achieved["dropped_share"] == pytest.approx(len(dropped) / len(losses))


@pytest.mark.parametrize(("kind", "settings"), BINARY)
def test_the_reweighted_loss_is_equation_5(kind, settings):
    step = first_step(kind, **settings)
    positive, negative = binary_terms(step)
    expected = -(np.exp(0.3 * positive) * positive + (np.exp(0.3 * negative) * negative).sum(1)).mean()
    loss = Denoise.make(method="r-ce", beta=0.3).loss(step)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


def test_no_gradient_passes_through_the_weights():
    """The margin is 3, so the loss is −ln σ(3). With β = 2, the weight is σ(3)²."""
    plain, weighted = triple_step(), triple_step()
    torch.autograd.backward(plain.losses(plain.embed()).value.mean())
    torch.autograd.backward(Denoise.make(method="r-ce", beta=2.0).loss(weighted))
    weight = (1 / (1 + np.exp(-3.0))) ** 2
    torch.testing.assert_close(
        weighted.model.user_vectors.weight.grad, weight * plain.model.user_vectors.weight.grad, rtol=1e-5, atol=0
    )


@pytest.mark.parametrize(("kind", "settings"), MODELS)
def test_dropped_interactions_have_no_gradient(kind, settings):
    step = late(first_step(kind, **settings))
    positive, negative = step.terms(step.embed())
    assert len(positive) >= 5
    positive.retain_grad()
    step.terms = lambda e: (positive, negative)
    torch.autograd.backward(Denoise.make(drop=0.4).loss(step))
    count = int(0.4 * len(positive))
    losses, dropped = positive.detach(), positive.grad == 0
    assert int(dropped.sum()) == count
    assert float(losses[dropped].min()) >= float(losses[~dropped].max())


def test_the_share_grows_with_the_epochs_and_then_stays():
    defense = Denoise.make(drop=0.3, ramp=3)
    assert [defense.share(epoch) for epoch in range(5)] == pytest.approx([0, 0.1, 0.2, 0.3, 0.3])
    assert [defense.settled(epoch) for epoch in range(5)] == [False, False, False, True, True]
    assert Denoise.make(drop=0.3, ramp=0).share(0) == 0.3


@pytest.mark.parametrize("settings", [{"drop": 0, "ramp": 0}, {"method": "r-ce", "beta": 0}])
@pytest.mark.parametrize("kind", [ReferencePairwise, NeuMf])
def test_without_strength_it_is_the_undefended_model_bit_for_bit(settings, kind):
    data, _ = crowd()
    plain, defended = (fitted(kind.make(epochs=2), data, defense)[0] for defense in (None, Denoise.make(**settings)))
    assert same_state(plain, defended)


def test_a_ramp_as_long_as_the_training_is_refused():
    with pytest.raises(SettingError, match="still dropping") as caught:
        Denoise.make(ramp=5).check_epochs(5)
    assert caught.value.field == "ramp"
    Denoise.make(ramp=5).check_epochs(6)
    Denoise.make(method="r-ce", ramp=5).check_epochs(1)


def test_models_without_a_term_per_interaction_are_skipped():
    assert Denoise().problem(MultiVae) == "has no loss with a term per interaction, which denoising drops"
    assert Denoise().problem(Ease) == "has no training loss"
    assert all(Denoise().problem(kind) == "" for kind, _ in MODELS)


def test_random_interactions_have_the_largest_losses_early():
    """After a few epochs, noise is dropped more often than other interactions."""
    data, _ = crowd(n_users=60, length=10)
    genre = data.train.users() % 4 == data.train.items % 4
    model, _ = fitted(ReferencePairwise.make(epochs=6), data)
    noise, all_ = [], []
    for batch in model.batches(data, Rng(1)):
        step = Step(model, batch, 9, 0.5, Rng(2))
        positive = step.terms(step.embed()).positive.detach()
        dropped = positive >= positive.topk(int(0.2 * len(positive))).values.min()
        odd = torch.from_numpy(batch.users.numpy() % 4 != batch.targets["positives"].numpy() % 4)
        noise.append(odd[dropped])
        all_.append(odd)
    assert not genre.all()
    assert float(torch.cat(noise).float().mean()) > 1.5 * float(torch.cat(all_).float().mean())
