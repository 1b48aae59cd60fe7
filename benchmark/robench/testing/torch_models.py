"""Conformance tests for neural models, which have embedded inputs to perturb."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from robench.api.data import Interactions, TrainData
from robench.api.models.divergence import kl_divergence
from robench.api.models.step import Step
from robench.api.models.torch import TorchModel
from robench.api.rng import Rng
from robench.engine.measure import MeasuredVictim
from robench.engine.surfaces.embedding.surface import EmbeddingSurface
from robench.testing.checks import assert_passes
from robench.testing.fitted_models import World
from robench.testing.models import ModelTests, widened
from robench.testing.worlds import catalogue, measured_victim, same_state


class TorchModelTests(ModelTests):
    """Tests a ``TorchModel``, which a subclass sets as ``model``.

    In addition to ``ModelTests``, the inputs, the tables and the training loss are tested.
    """

    model: ClassVar[type[TorchModel]]

    @pytest.fixture
    def victim(self, world: World) -> MeasuredVictim:
        return measured_victim(*world)

    @classmethod
    def make(cls) -> TorchModel:
        model = super().make()
        assert isinstance(model, TorchModel)
        return model

    @classmethod
    def unfitted(cls, data: TrainData, rng: Rng) -> TorchModel:
        model = cls.make()
        model.initialise(data, rng)
        return model

    @classmethod
    def restored(cls, world: World) -> TorchModel:
        model = super().restored(world)
        assert isinstance(model, TorchModel)
        return model

    def test_every_valid_input_reaches_the_scores_and_no_other(self, victim: MeasuredVictim) -> None:
        model, users = victim.model, np.arange(12)
        assert isinstance(model, TorchModel)
        # Histories have several lengths, so they are padded. The host's mask could hide a leak, so it is not applied.
        rows = [victim.history.row(user)[: 2 + user % 5] for user in range(victim.history.n_users)]
        history = Interactions.from_rows(rows, victim.history.n_items)
        batch = model.queries(users, history)
        e = model.embed(batch)
        alone = [float(model.embed(model.queries(users[u : u + 1], history)).sizes()) for u in range(len(users))]
        assert e.sizes().tolist() == alone, "longer histories beside a user add entries that may be perturbed"
        leaves = {name: part.detach().requires_grad_() for name, part in e.inputs.items()}
        scores = model.score_from(batch, replace(e, inputs=leaves))
        weights = torch.randn(scores.shape, generator=Rng(0).torch())
        gradients = torch.autograd.grad((scores * weights).sum(), list(leaves.values()), allow_unused=True)
        for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
            size = (torch.zeros_like(leaf) if gradient is None else gradient).abs().amax(-1)
            connected = bool((size[e.valid[name]] > 0).all())
            assert connected, f"a valid entry of input '{name}' is disconnected from the scores"
            if size.shape == batch.histories.shape:
                padding = batch.histories == history.n_items
                assert not bool(size[padding].any()), f"the padding of input '{name}' reaches the scores"

    def test_the_gradient_agrees_with_finite_differences(self, world: World) -> None:
        # In double precision, the step can be so small that curvature and the kinks of a ReLU have no effect.
        exact = self.restored(world).double().eval()
        oracle = next(EmbeddingSurface(measured_victim(exact, world.data, world.test)).oracles(k=10))
        direction, h = oracle.normal(Rng(1)), 1e-6
        gradient = oracle.gradient(oracle.zero()).gradient
        assert gradient is not None
        slope = sum(float((gradient[n] * direction[n]).sum()) for n in gradient)
        ends = [float(oracle.evaluate({n: sign * h * d for n, d in direction.items()}).loss.sum()) for sign in (1, -1)]
        assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(slope, rel=1e-3, abs=1e-4)

    def test_embeddings_of_another_user_give_that_users_scores(self, victim: MeasuredVictim) -> None:
        model, users = victim.model, np.arange(8)
        assert isinstance(model, TorchModel)
        with torch.no_grad():
            batch, other = (model.queries(order, victim.history) for order in (users, users[::-1]))
            assert batch.histories.shape == other.histories.shape
            swapped = model.score_from(batch, model.embed(other))
            expected = model.score_from(other, model.embed(other))
        np.testing.assert_allclose(swapped.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)

    def test_the_model_passes_the_checks_of_the_host(self, victim: MeasuredVictim) -> None:
        assert_passes(victim)

    def test_the_tables_reach_the_scores_without_being_changed(self, world: World) -> None:
        model, users, history = world.model, np.arange(6), world.history
        assert isinstance(model, TorchModel)
        assert model.tables, "no table is named for the surface 'parameters'"
        assert "parameters" in model.surfaces
        batch = model.queries(users, history)
        before = model.scores(users, history)
        parameters = dict(model.named_parameters())
        for name in model.tables:
            table = parameters[name].detach()
            moved = (table + 0.1 * torch.randn(table.shape)).requires_grad_()
            scores = model.under({name: moved}, lambda: model.score_from(batch, model.embed(batch)))
            (gradient,) = torch.autograd.grad(scores.square().sum(), moved)
            assert bool(gradient.any()), f"table '{name}' is disconnected from the scores"
            again = self.make()
            again.restore(world.data, {**model.state(), name: moved.detach().numpy()}, Rng(0).child("fit"))
            expected = again.eval().scores(users, history)
            # The results may differ in the last bits, because torch may use another kernel without gradients.
            np.testing.assert_allclose(scores.detach().numpy(), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(model.scores(users, history), before)

    def test_a_poisoned_row_reaches_the_training_loss(self, world: World) -> None:
        data = world.data
        # No real user has this item, so it appears in an input only if training includes the fake users.
        virgin = data.n_items
        fake = [0, virgin, *range(2, 12)]
        train = widened(data.train).appended([fake] * 6)
        poisoned = TrainData(train, widened(data.validation), catalogue(virgin + 1))
        fresh = self.unfitted(poisoned, Rng(0))
        holds_fakes = [
            bool((batch.users >= data.n_real_users).any()) or bool((batch.histories == virgin).any())
            for batch in fresh.batches(poisoned, Rng(0).child("batches", 0))
        ]
        assert any(holds_fakes), "no batch holds anything of the fake users"

    def test_the_perturbed_training_loss_is_not_below_the_clean_one(self, world: World) -> None:
        model = self.restored(world).train()
        for number, batch in enumerate(model.batches(world.data, Rng(7))):
            step = Step(model, batch, 0, 0.0, Rng(number))
            e = step.embed()
            delta = step.perturb(
                e,
                inner="fgsm",
                epsilon=0.01,
                norm="l2",
                objective=lambda moved, s=step: s.losses(moved).value.mean(),  # type: ignore[misc]
            )
            with torch.no_grad():
                assert float(step.losses(e.plus(delta)).value.mean()) > float(step.losses(e).value.mean())

    def test_the_same_dropout_in_every_pass(self, world: World) -> None:
        fresh = self.unfitted(world.data, Rng(0)).train()
        step = Step(fresh, next(iter(fresh.batches(world.data, Rng(0)))), 0, 0.0, Rng(3))
        before = torch.get_rng_state()
        first, second = (step.losses(step.embed()).value for _ in range(2))
        assert torch.equal(first, second)
        assert torch.equal(before, torch.get_rng_state())

    def test_margins_are_of_the_same_targets_as_the_loss(self, world: World) -> None:
        if not self.model.has_margins():
            pytest.skip("no margins_from: the hinge loss is not offered")
        fresh = self.unfitted(world.data, Rng(0))
        step = Step(fresh, next(iter(fresh.batches(world.data, Rng(0)))), 0, 0.0, Rng(3))
        margins, losses = step.margins(step.embed()), step.losses(step.embed())
        assert torch.equal(margins.row, losses.row)
        assert bool(torch.isfinite(margins.value).all())

    def test_terms_add_up_to_the_loss(self, world: World) -> None:
        if not self.model.has_terms():
            pytest.skip("no terms_from: denoise is not offered")
        fresh = self.unfitted(world.data, Rng(0)).train()
        step = Step(fresh, next(iter(fresh.batches(world.data, Rng(0)))), 0, 0.0, Rng(3))
        with torch.no_grad():
            positive, negative = step.terms(step.embed())
            expected = step.losses(step.embed()).value
        assert negative.shape == (*positive.shape, negative.shape[1])
        torch.testing.assert_close(positive + negative.sum(1), expected, rtol=1e-5, atol=1e-6)
        least = min(float(part.min()) for part in (positive, negative) if part.numel())
        assert least >= -1e-5, f"a term is {least:.3g}, and −ln p of a probability is not negative"

    def test_logits_follow_the_inputs(self, world: World) -> None:
        if not self.model.has_logits():
            pytest.skip("no logits_from: trades is not offered")
        fresh = self.unfitted(world.data, Rng(0)).train()
        step = Step(fresh, next(iter(fresh.batches(world.data, Rng(0)))), 0, 0.0, Rng(3))
        e = step.embed()
        with torch.no_grad():
            moved = e.plus(step.ball(e, 3.0, "l2").ascent(step.noise(e, "normal")))
            logits = step.logits(e)
            assert bool((kl_divergence(logits, step.logits(e)) == 0).all()), "two passes differ"
            divergence = kl_divergence(logits, step.logits(moved))
        assert bool(torch.isfinite(divergence).all()), "a divergence is not finite"
        assert float(divergence.mean()) > 0, "the distributions of the loss ignore the inputs"

    def test_validation_selects_and_training_moves_the_weights(self, world: World) -> None:
        fresh, report = self.fit_again()
        assert not same_state(fresh, self.unfitted(world.data, Rng(0).child("fit")))
        assert 1 <= report.best_epoch <= report.epochs
