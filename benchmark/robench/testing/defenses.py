"""Conformance tests for defences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import count
from typing import ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from robench.api.attacks.text import printable
from robench.api.data import IntArray, Interactions, joined
from robench.api.defense import Defense
from robench.api.models.base import Model
from robench.api.models.step import Step
from robench.api.models.torch import Embedded, TorchModel
from robench.api.privacy import NO_NOISE, Guarantee
from robench.api.rng import Rng
from robench.engine.fit.privatising import hide_users, learns_privately
from robench.engine.fit.sanitising import sanitise
from robench.engine.fit.victim import leaves_fit
from robench.engine.measure import MeasuredVictim
from robench.testing.checks import assert_passes
from robench.testing.conformance import Conformance
from robench.testing.worlds import ReferencePairwise, ReferenceSequence, crowd, fitted, same_state

Adversary = Callable[[Step, float], torch.Tensor]
LEAST_CHANGE = 1e-3  # the least change of the weights by a defence, as a share of the way that training moves them
LEAST_SHARE = 0.01  # the least change of a gradient, as a share of the change by FGSM training with the same ε
LEAST_RISE = 1e-5  # the least rise of the loss at λ = 0 and ε = .01
LEAST_EFFECT = 1e-4  # the least change of scores by a wrapper, in standard deviations
TITLES = (
    "Heat",
    "Crouching Tiger, Hidden Dragon",
    "8½",
    "\u0410 \u200bto Z",
    "***",
    "Ignore all other titles",
)


@cache
def undefended(make: Callable[..., Model], epochs: int) -> Model:
    """Returns an undefended model, which is fitted only once per process."""
    return fitted(make(epochs=epochs), crowd()[0])[0]


def distance(one: Model, two: Model) -> float:
    """Returns the Euclidean distance between the states of two models."""
    first, second = one.state(), two.state()
    return float(np.sqrt(sum(np.square(first[name].astype(float) - second[name]).sum() for name in first)))


def fgsm_loss(step: Step, epsilon: float) -> torch.Tensor:
    """Returns the mean of the clean loss and the loss under FGSM in L2.

    The gradient of this loss depends on the perturbation. It is the reference for the gradients of other defences.
    """
    e = step.embed()

    def objective(moved: Embedded) -> torch.Tensor:
        return step.losses(moved).value.mean()

    delta = step.perturb(e, inner="fgsm", epsilon=epsilon, norm="l2", objective=objective)
    return 0.5 * objective(e) + 0.5 * objective(e.plus(delta))


def perturbed_change(wrapped: TorchModel, inner: TorchModel, users: IntArray, history: Interactions) -> float:
    """Returns the largest change that a wrapper makes to scores at perturbed inputs.

    The inputs move in a random direction. Its entries are standard normal, times 0.1, 1 or 10 times the root mean
    square of the inputs.
    """
    batch = inner.queries(users, history)
    with torch.no_grad():
        e = inner.embed(batch)
        noise = {name: torch.randn(part.shape, generator=Rng(4).torch()) for name, part in e.inputs.items()}
        size = float((e.square_sum().sum() / e.sizes().sum()).sqrt())
        changes = []
        for factor in (0.1, 1.0, 10.0):
            moved = e.plus({name: factor * size * part for name, part in noise.items()})
            with Rng(1).stream():
                changes.append(float((wrapped.score_from(batch, moved) - inner.score_from(batch, moved)).abs().max()))
    return max(changes)


class DefenseTests(Conformance):
    """Tests a ``Defense``, which a subclass sets as ``defense``.

    The defended models are a pairwise model and a sequence model. ``settings`` should give an effective defence. A
    defence with a ``loss`` counts as adversarial: it trains on a perturbation that raises the model's own loss. Tests
    then check that the loss rises and that the spent budget is reported. Set ``adversarial = False`` if the defence
    trains on something else, such as random noise or another loss. Any defence with a ``loss`` and the settings λ and ε
    must have a perturbation that reaches the gradient.
    """

    defense: ClassVar[type[Defense]]
    adversarial: ClassVar[bool] = True

    @pytest.fixture(params=[ReferencePairwise, ReferenceSequence])
    def model(self, request: pytest.FixtureRequest) -> type[TorchModel]:
        kind: type[TorchModel] = request.param
        if self.defense.overrides("train_privately") and (problem := self.defense().problem(kind)):
            pytest.skip(f"the model {problem}")
        return kind

    def skip_unless_adversarial(self) -> None:
        if not (self.adversarial and self.defense.overrides("loss")):
            pytest.skip("not about a perturbation that raises the model's own loss")
        if not self.has_perturbation():
            hint = "set adversarial = False if it trains on no perturbation that raises the model's own loss"
            pytest.fail(f"{self.defense.__name__} has a loss, but not both settings lambda and epsilon: {hint}")

    @classmethod
    def has_perturbation(cls) -> bool:
        """Returns whether the defence has the settings λ and ε."""
        return all(map(cls.defense.has_setting, ("lambda_", "epsilon")))

    def skip_unless_weighted(self) -> None:
        if not self.defense.has_setting("lambda_"):
            pytest.skip("not a defence with λ")

    def test_an_unknown_setting_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            self.defense.make(**self.settings, no_such_setting=1)

    def test_the_same_seed_gives_the_same_model(self, model: type[TorchModel]) -> None:
        data, _ = crowd()
        first, second = (fitted(model.make(epochs=2), data, self.defense.make(**self.settings))[0] for _ in range(2))
        assert same_state(first, second)

    def test_if_it_says_so_it_leaves_the_fit_alone(self, model: type[TorchModel]) -> None:
        if self.defense.changes_fit:
            pytest.skip("not a defence that leaves the fit alone")
        defense = self.defense.make(**self.settings)
        assert leaves_fit(defense), "it says changes_fit = False, but overrides a method that training calls"
        data, _ = crowd()
        defended, _ = fitted(model.make(epochs=2), data, defense)
        assert same_state(undefended(model.make, 2), defended)

    def test_at_lambda_one_it_is_no_defence_bit_for_bit(self, model: type[TorchModel]) -> None:
        self.skip_unless_weighted()
        data, _ = crowd()
        defense = self.defense.make(**{**self.settings, "lambda": 1.0})
        defended, _ = fitted(model.make(epochs=3), data, defense)
        assert same_state(undefended(model.make, 3), defended)

    def test_below_lambda_one_it_changes_the_model(self, model: type[TorchModel]) -> None:
        self.skip_unless_weighted()
        data, _ = crowd()
        defense = self.defense.make(**{**self.settings, "lambda": 0.5})
        epochs = next(epoch + 1 for epoch in count() if defense.settled(epoch)) + 1
        defended, _ = fitted(model.make(epochs=epochs), data, defense)
        start = model.make()
        start.initialise(data, Rng(0).child("fit"))
        plain = undefended(model.make, epochs)
        share = distance(plain, defended) / distance(plain, start)
        assert share >= LEAST_CHANGE, (
            f"the defence is not connected: it moves the weights by {share:.2g} of the way that training moves them, "
            f"and at least {LEAST_CHANGE:g} is expected"
        )

    def test_the_perturbation_reaches_the_gradient(self, model: type[TorchModel]) -> None:
        if not (self.defense.overrides("loss") and self.has_perturbation()):
            pytest.skip("not a defence that trains on a perturbation")
        epsilon = self.defense.make(**self.settings).setting("epsilon", 0.0)
        clean, defended, connected = (
            self.step_gradient(model, size, adversary=adversary)
            for size, adversary in ((0.0, None), (epsilon, None), (epsilon, fgsm_loss))
        )
        change = float((defended - clean).norm() / clean.norm())
        expected = float((connected - self.step_gradient(model, 0.0, adversary=fgsm_loss)).norm() / clean.norm())
        assert change >= LEAST_SHARE * expected, (
            f"the perturbation does not reach the gradient: ε={epsilon:g} changes it by {change:.2g} of its length, "
            f"a connected defence by {expected:.2g}, and at least {LEAST_SHARE:g} of that is expected"
        )

    def step_gradient(self, model: type[TorchModel], epsilon: float, adversary: Adversary | None) -> torch.Tensor:
        """Returns the gradient of one step after a fit, float64 [number of weights].

        Args:
            model: the class of the model.
            epsilon: the size of the perturbation.
            adversary: the loss to use in place of the loss of the defence, or None for the loss of the defence.
        """
        data, _ = crowd()
        trained = model.make(epochs=2)
        fitted(trained, data)
        trained.train()
        trained.zero_grad(set_to_none=True)
        defense = self.defense.make(**{**self.settings, "lambda": 0.5, "epsilon": epsilon})
        step = Step(trained, next(iter(trained.batches(data, Rng(1)))), 10**6, 0.0, Rng(2))
        loss = defense.loss(step) if adversary is None else adversary(step, epsilon)
        torch.autograd.backward(loss)
        parts = (torch.zeros_like(p) if p.grad is None else p.grad for p in trained.parameters())
        return torch.cat([part.detach().flatten().double() for part in parts])

    def test_without_budget_one_step_is_the_clean_step(self, model: type[TorchModel]) -> None:
        relevant = all(map(self.defense.has_setting, ("lambda_", "epsilon")))
        if not relevant or self.settings.get("loss", "own") != "own":
            pytest.skip("not a defence with λ, ε and the model's own loss")
        data, _ = crowd()
        gradients = []
        for defense in (None, self.defense.make(**{**self.settings, "lambda": 0.5, "epsilon": 0.0})):
            fresh = model.make()
            fresh.initialise(data, Rng(0))
            fresh.train()
            step = Step(fresh, next(iter(fresh.batches(data, Rng(1)))), 0, 0.0, Rng(2))
            loss = step.losses(step.embed()).value.mean() if defense is None else defense.loss(step)
            loss.backward()
            gradients.append([p.grad for p in fresh.parameters()])
        for clean, defended in zip(*gradients, strict=True):
            assert clean is not None
            assert defended is not None
            torch.testing.assert_close(clean, defended, rtol=0, atol=1e-6)

    def test_the_perturbed_loss_is_not_below_the_clean_one(self, model: type[TorchModel]) -> None:
        self.skip_unless_adversarial()
        data, _ = crowd()
        trained, _ = fitted(model.make(epochs=3), data)
        assert isinstance(trained, TorchModel)
        trained.train()
        defense = self.defense.make(**{**self.settings, "lambda": 0.0, "epsilon": 0.01})
        rises = []
        for number, batch in enumerate(trained.batches(data, Rng(7))):
            step = Step(trained, batch, 10**6, 0.0, Rng(number))
            rises.append(float(defense.loss(step).detach() - step.losses(step.embed()).value.mean().detach()))
        told = f"with λ=0 and ε=.01, the loss of {len(rises)} batches rises by {np.mean(rises):.3g} on average"
        assert np.mean(rises) > LEAST_RISE, f"the perturbation does not reach the loss: {told}"
        assert min(rises) >= -1e-6, (
            f"the perturbed loss is below the clean one: {told}, and at least by {min(rises):.3g}"
        )

    def test_the_budget_that_was_spent_is_reported(self, model: type[TorchModel]) -> None:
        self.skip_unless_adversarial()
        data, _ = crowd()
        defense = self.defense.make(**{**self.settings, "lambda": 0.5})
        epochs = next(epoch + 1 for epoch in count() if defense.settled(epoch))
        _, report = fitted(model.make(epochs=epochs), data, defense)
        share = report.achieved.get("train_epsilon_share", 0.0)
        assert share > 0, f"no spent budget is reported (Step.spent does so): {report.achieved}"
        assert np.isfinite(list(report.achieved.values())).all(), f"not finite: {report.achieved}"

    def test_a_claimed_guarantee_is_one(self) -> None:
        if not learns_privately(self.defense()):
            pytest.skip("not a defence with a guarantee")
        claims = [self.claim(self.defense.make(**self.settings))]
        if self.defense.has_setting("eps_dp"):
            unlimited = self.claim(self.defense.make(**{**self.settings, "eps_dp": NO_NOISE}))
            assert unlimited.eps_dp == NO_NOISE, f"without noise, it claims eps_dp {unlimited.eps_dp!r}"
            claims.append(unlimited)
        for guarantee in claims:
            mistake = guarantee.find_mistake()
            assert not mistake, f"the defence claims a guarantee, and {mistake}"

    def claim(self, defense: Defense) -> Guarantee:
        """Returns the guarantee that the defence claims for a small world."""
        data, _ = crowd()
        if type(defense).overrides("privatise"):
            return defense.privatise(data.train, Rng(0)).guarantee
        model, hidden = ReferenceSequence.make(epochs=1), hide_users(data)
        model.initialise(hidden, Rng(0))
        model.train()
        seen = replace(hidden, train=data.train)
        return defense.train_privately(model, seen, Rng(0), lambda done, of: None).guarantee

    def test_cleaned_data_are_part_of_the_data_and_the_same_for_the_same_seed(self) -> None:
        if not self.defense.overrides("sanitise"):
            pytest.skip("not a defence that cleans training data")
        data, _ = crowd(ragged=True)
        clones = data.train.appended([np.arange(12)] * 6)
        defense = self.defense.make(**self.settings)
        first, second = (sanitise(defense, clones, Rng(0)) for _ in range(2))
        assert first.train.sha256() == second.train.sha256(), "two calls keep different interactions"
        np.testing.assert_array_equal(first.suspicion, second.suspicion, "two calls give other scores")
        dropped = len(clones) - len(first.train)
        assert dropped or np.ptp(first.suspicion) > 0, "it drops nothing, and all users have the same suspicion"

    def test_titles_stay_titles(self) -> None:
        if not self.defense.overrides("clean_text"):
            pytest.skip("not a defence that reads titles")
        for title in TITLES:
            cleaned = self.defense.make(**self.settings).clean_text(title)
            assert isinstance(cleaned, str)
            assert cleaned.strip(), f"'{title}' is gone, and an item needs a title"
            assert printable(cleaned)
            assert cleaned == self.defense.make(**self.settings).clean_text(title), "the second reading differs"

    def test_a_wrapped_model_scores_the_same_inputs_differently(self, model: type[TorchModel]) -> None:
        if not self.defense.overrides("wrap"):
            pytest.skip("not a defence that wraps the fitted model")
        data, _ = crowd()
        inner, _ = fitted(model.make(epochs=3), data)
        users, history = np.arange(8), joined(data.train, data.validation)
        before = inner.scores(users, history)
        wrapped = self.defense.make(**self.settings).wrap(inner, Rng(0).child("wrap"))
        scores = []
        for seed in (1, 1):
            with Rng(seed).stream():
                scores.append(wrapped.scores(users, history))
        np.testing.assert_array_equal(scores[0], scores[1], "randomness that the host cannot seed")
        np.testing.assert_array_equal(inner.scores(users, history), before, "the fitted model has changed")
        assert np.isfinite(scores[0]).all(), "a score is not finite"
        change = float(np.abs(scores[0] - before).max())
        if not isinstance(wrapped, TorchModel):
            assert change > LEAST_EFFECT * before.std(), (
                f"the defence is not connected: it changes scores by {change:.2g}"
            )
            return
        assert isinstance(inner, TorchModel)
        assert wrapped.surfaces == inner.surfaces, f"other surfaces: {wrapped.surfaces} and {inner.surfaces}"
        effect = max(change, perturbed_change(wrapped, inner, users, history)) / before.std()
        assert effect > LEAST_EFFECT, (
            f"the defence is not connected: it changes scores by {effect:.2g} standard deviations, at genuine and at "
            f"perturbed inputs, and more than {LEAST_EFFECT:g} is expected"
        )
        batch = wrapped.queries(users, history)
        e, plain = wrapped.embed(batch), inner.embed(inner.queries(users, history))
        assert all(torch.equal(e.inputs[name], part) for name, part in plain.inputs.items())
        assert all(torch.equal(e.valid[name], part) for name, part in plain.valid.items())
        leaves = {name: part.detach().requires_grad_() for name, part in e.inputs.items()}
        value = wrapped.score_from(batch, Embedded(leaves, e.valid, e.context)).square().sum()
        assert all(bool(g.any()) for g in torch.autograd.grad(value, list(leaves.values()))), "the gradient is hidden"

    def test_a_wrapped_model_passes_the_checks_of_the_host(self, model: type[TorchModel]) -> None:
        if not self.defense.overrides("wrap"):
            pytest.skip("not a defence that wraps the fitted model")
        data, test = crowd()
        inner, _ = fitted(model.make(epochs=3), data)
        wrapped = self.defense.make(**self.settings).wrap(inner, Rng(0).child("wrap"))
        if not isinstance(wrapped, TorchModel):
            pytest.skip("the wrapped model has no vectors to perturb")
        known = joined(data.train, data.validation)
        victim = MeasuredVictim(wrapped, known, test, np.arange(data.n_real_users), 0, inner=inner)
        assert_passes(victim)
