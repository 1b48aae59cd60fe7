"""Tests that the conformance class of defences detects an unused perturbation.

The class also detects wrappers that do nothing, and wrappers that hide the gradient.
"""

from dataclasses import replace

import numpy as np
import pytest

from robench.api import BaseConfig, Defense, Wrapped
from robench.api.privacy import Guarantee, PrivateFit, PrivateGram
from robench.testing import DefenseTests
from robench.testing.worlds import ReferencePairwise, ReferenceSequence
from robench_plugins.defenses.adversarial_training import AdversarialTraining

MODELS = [ReferencePairwise, ReferenceSequence]


def own(step, e):
    return step.losses(e).value.mean()


class Planted(AdversarialTraining):
    """The base class of defences with a planted fault.

    The method ``robust`` of a subclass computes the robust loss from the clean inputs and δ.
    """

    def total_loss(self, step):
        c, e = self.config, step.embed()
        delta = step.perturb(e, inner="fgsm", epsilon=c.epsilon, norm=c.norm, objective=lambda x: own(step, x))
        return c.lambda_ * own(step, e) + (1 - c.lambda_) * self.robust(step, e, delta)


class OnCleanInputs(Planted):
    def robust(self, step, e, delta):
        return own(step, step.embed())


class Unused(Planted):
    def robust(self, step, e, delta):
        e.plus(delta)
        return own(step, e)


class OnlyWeighted(Planted):
    def robust(self, step, e, delta):
        return 0.0 * own(step, e)


class ValueOnly(Planted):
    def robust(self, step, e, delta):
        return own(step, e) + (own(step, e.plus(delta)) - own(step, e)).detach()


class Rounding(Planted):
    def robust(self, step, e, delta):
        return own(step, e.plus({name: 1e-5 * part for name, part in delta.items()}))


class PerturbedOnly(Planted):
    """An honest defence: the loss is always computed on perturbed inputs."""

    def total_loss(self, step):
        c, e = self.config, step.embed()
        delta = step.perturb(e, inner="fgsm", epsilon=c.epsilon, norm=c.norm, objective=lambda x: own(step, x))
        return own(step, e.plus(delta))


def conformance_of(kind, **more):
    return type("Tests", (DefenseTests,), {"defense": kind, "settings": {"epsilon": 0.1, "norm": "l2"}, **more})()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", [OnCleanInputs, Unused, OnlyWeighted, ValueOnly, Rounding])
def test_a_disconnected_defence_fails_and_the_values_are_shown(kind, model):
    tests = conformance_of(kind)
    with pytest.raises(AssertionError, match=r"does not reach the gradient: ε=0.1 changes it by \d"):
        tests.test_the_perturbation_reaches_the_gradient(model)
    if kind is not ValueOnly:
        with pytest.raises(AssertionError, match=r"does not reach the loss: .* rises by -?\d"):
            tests.test_the_perturbed_loss_is_not_below_the_clean_one(model)


def test_a_change_by_rounding_is_no_change():
    class Tiny(AdversarialTraining):
        def total_loss(self, step):
            return (1 + 1e-7) * own(step, step.embed())

    with pytest.raises(AssertionError, match=r"not connected: it moves the weights by \d"):
        conformance_of(Tiny).test_below_lambda_one_it_changes_the_model(ReferencePairwise)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", [AdversarialTraining, PerturbedOnly])
def test_a_connected_defence_passes_even_if_it_uses_perturbed_inputs_only(kind, model):
    tests = conformance_of(kind)
    tests.test_below_lambda_one_it_changes_the_model(model)
    tests.test_the_perturbation_reaches_the_gradient(model)
    tests.test_the_perturbed_loss_is_not_below_the_clean_one(model)
    tests.test_the_budget_that_was_spent_is_reported(model)


def test_a_loss_without_the_settings_of_a_perturbation_must_say_so():
    class Bare(Defense):
        Config = BaseConfig

        def loss(self, step):
            return own(step, step.embed())

    with pytest.raises(pytest.fail.Exception, match="set adversarial = False"):
        conformance_of(Bare).test_the_perturbed_loss_is_not_below_the_clean_one(ReferencePairwise)
    with pytest.raises(pytest.skip.Exception):
        conformance_of(Bare, adversarial=False).test_the_perturbed_loss_is_not_below_the_clean_one(ReferencePairwise)


class Bounded(Wrapped):
    """An honest wrapper: entries far beyond those of the genuine inputs are clipped."""

    def score_from(self, batch, e):
        inputs = {name: part.clamp(-3.0, 3.0) for name, part in e.inputs.items()}
        return self.inner.score_from(batch, replace(e, inputs=inputs))


class Idle(Wrapped):
    """A wrapper with a planted fault: it changes scores by rounding only."""

    def score_from(self, batch, e):
        return (1 + 1e-7) * self.inner.score_from(batch, e)


class Cut(Wrapped):
    """A wrapper with a planted fault: most of the gradient is cut."""

    def score_from(self, batch, e):
        scores = self.inner.score_from(batch, e) * 2
        return scores.detach() + 0.01 * (scores - scores.detach())


def wrapping(cls):
    return type("Wrapping", (Defense,), {"Config": BaseConfig, "wrap": lambda self, model, rng: cls(model)})


def test_a_wrapper_may_act_on_perturbed_inputs_only():
    tests = conformance_of(wrapping(Bounded), settings={})
    tests.test_a_wrapped_model_scores_the_same_inputs_differently(ReferencePairwise)
    tests.test_a_wrapped_model_passes_the_checks_of_the_host(ReferencePairwise)


def test_a_wrapper_that_does_nothing_or_hides_the_gradient_fails():
    with pytest.raises(AssertionError, match=r"it changes scores by \d"):
        conformance_of(wrapping(Idle), settings={}).test_a_wrapped_model_scores_the_same_inputs_differently(
            ReferencePairwise
        )
    with pytest.raises(AssertionError, match=r"wrong gradients: .*slope_own 0.99"):
        conformance_of(wrapping(Cut), settings={}).test_a_wrapped_model_passes_the_checks_of_the_host(ReferencePairwise)


class Claim(Defense):
    """A defence whose guarantee, with and without noise, is in ``claims``."""

    class Config(BaseConfig):
        eps_dp: float | str = 1.0

    claims = (Guarantee(1.0, 1e-3, "the matrix"), Guarantee("inf", 0.0, "nothing"))

    def claimed(self):
        return self.claims[self.config.eps_dp == "inf"]


class MatrixClaim(Claim):
    def privatise(self, train, rng):
        return PrivateGram(np.eye(train.n_items), self.claimed())


class LoopClaim(Claim):
    def train_privately(self, model, data, rng, report):
        return PrivateFit(self.claimed(), 1)


HONEST = Claim.claims


@pytest.mark.parametrize("kind", [MatrixClaim, LoopClaim])
@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ((Guarantee(0.0, 1e-3, "the matrix"), HONEST[1]), "not a finite number above 0"),
        ((Guarantee(float("inf"), 1e-3, "the matrix"), HONEST[1]), "not a finite number above 0"),
        ((Guarantee(1.0, 1.0, "the matrix"), HONEST[1]), "its delta is 1.0"),
        ((Guarantee(1.0, 1e-3, " "), HONEST[1]), "not say in words"),
        ((Guarantee(1.0, 1e-3, "the matrix", unit="item"), HONEST[1]), "its unit is 'item'"),
        ((HONEST[0], Guarantee("inf", 0.0, "the matrix")), "without noise, it claims 'the matrix'"),
        ((HONEST[0], HONEST[0]), "without noise, it claims eps_dp 1.0"),
    ],
)
def test_a_claim_that_is_no_guarantee_fails(kind, claims, words):
    with pytest.raises(AssertionError, match=words):
        conformance_of(type("Wrong", (kind,), {"claims": claims}), settings={}).test_a_claimed_guarantee_is_one()


@pytest.mark.parametrize("kind", [MatrixClaim, LoopClaim])
def test_an_honest_guarantee_passes_and_a_defence_without_one_is_skipped(kind):
    conformance_of(kind, settings={}).test_a_claimed_guarantee_is_one()
    with pytest.raises(pytest.skip.Exception):
        conformance_of(AdversarialTraining).test_a_claimed_guarantee_is_one()
