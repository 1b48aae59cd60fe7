"""Conformance tests for defences."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import count
from typing import ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from robench.api.attacks.text import printable
from robench.api.data import joined
from robench.api.defense import Defense
from robench.api.models.base import Model
from robench.api.models.step import Step
from robench.api.models.torch import Embedded, TorchModel
from robench.api.rng import Rng
from robench.engine.fit.victim import leaves_fit
from robench.testing.conformance import Conformance
from robench.testing.worlds import ReferencePairwise, ReferenceSequence, crowd, fitted, same_state

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
    """Returns a model without a defence, which is fitted once per process."""
    return fitted(make(epochs=epochs), crowd()[0])[0]


class DefenseTests(Conformance):
    """Tests of a ``Defense``, for a subclass with ``defense = Mine``.

    The defended models are a pairwise model and a sequence model. ``settings`` should give an effective defence. Set
    ``adversarial`` if the defence trains on a perturbation that raises the model's own loss. Tests then check that the
    loss rises and that the spent budget is reported.
    """

    defense: ClassVar[type[Defense]]
    adversarial: ClassVar[bool] = False

    @pytest.fixture(params=[ReferencePairwise, ReferenceSequence])
    def model(self, request: pytest.FixtureRequest) -> type[TorchModel]:
        kind: type[TorchModel] = request.param
        return kind

    def skip_unless_adversarial(self) -> None:
        if not self.adversarial:
            pytest.skip("not about a perturbation that raises the model's own loss")

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
        defended, _ = fitted(model.make(epochs=2), data, defense)
        assert not same_state(undefended(model.make, 2), defended), "the defence is not connected"

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
        assert min(rises) >= -1e-6
        assert np.mean(rises) > 1e-5, "the perturbation does not reach the loss"

    def test_the_budget_that_was_spent_is_reported(self, model: type[TorchModel]) -> None:
        self.skip_unless_adversarial()
        data, _ = crowd()
        defense = self.defense.make(**{**self.settings, "lambda": 0.5})
        epochs = next(epoch + 1 for epoch in count() if defense.settled(epoch))
        _, report = fitted(model.make(epochs=epochs), data, defense)
        assert report.achieved.get("train_epsilon_share", 0.0) > 0
        assert np.isfinite(list(report.achieved.values())).all()

    def test_titles_stay_titles(self) -> None:
        if not self.defense.overrides("clean_text"):
            pytest.skip("not a defence that reads titles")
        for title in TITLES:
            cleaned = self.defense.make(**self.settings).clean_text(title)
            assert isinstance(cleaned, str)
            assert cleaned.strip(), f"'{title}' is gone, and an item needs a title"
            assert printable(cleaned)
            assert cleaned == self.defense.make(**self.settings).clean_text(title), "read otherwise the second time"

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
        assert np.isfinite(scores[0]).all()
        assert not np.array_equal(scores[0], before), "the defence is not connected"
        if not isinstance(wrapped, TorchModel):
            return
        assert isinstance(inner, TorchModel)
        assert wrapped.surfaces == inner.surfaces
        batch = wrapped.queries(users, history)
        e, plain = wrapped.embed(batch), inner.embed(inner.queries(users, history))
        assert all(torch.equal(e.inputs[name], part) for name, part in plain.inputs.items())
        assert all(torch.equal(e.valid[name], part) for name, part in plain.valid.items())
        leaves = {name: part.detach().requires_grad_() for name, part in e.inputs.items()}
        value = wrapped.score_from(batch, Embedded(leaves, e.valid, e.context)).square().sum()
        assert all(bool(g.any()) for g in torch.autograd.grad(value, list(leaves.values()))), "the gradient is hidden"
