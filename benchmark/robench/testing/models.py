"""What every model must pass."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from robench.api.data import Interactions, TrainData, joined
from robench.api.defense import Defense
from robench.api.models.base import Model
from robench.api.models.step import Step
from robench.api.models.torch import TorchModel
from robench.api.rng import Rng
from robench.engine.fit.loop import fit
from robench.engine.measure import MeasuredVictim
from robench.engine.rank.ranking import evaluation_chunk
from robench.testing.worlds import catalogue, checkerboard, crowd, fitted, measured_victim, same_state


class ModelTests:
    """Subclass with ``model = Mine``; ``settings`` make it small and fast, ``personal`` is False for popularity.

    ``collaborative`` is False for a model that learns nothing from other users: no fake user may change it.
    ``board``: further settings for the checkerboard, a matrix of rank 2 (few factors, enough epochs).
    """

    model: ClassVar[type[Model]]
    settings: ClassVar[dict[str, Any]] = {}
    board: ClassVar[dict[str, Any]] = {}
    personal: ClassVar[bool] = True
    collaborative: ClassVar[bool] = True

    @classmethod
    def new(cls) -> Model:
        made: Model = cls.model.make(**cls.settings)
        return made

    @classmethod
    @cache
    def once(cls) -> tuple[Model, TrainData, Interactions]:
        data, test = crowd()
        return fitted(cls.new(), data)[0], data, test

    @classmethod
    @cache
    def board_once(cls) -> tuple[Model, TrainData, Interactions]:
        data, test = checkerboard()
        return fitted(cls.model.make(**{**cls.settings, **cls.board}), data)[0], data, test

    @pytest.fixture
    def victim(self) -> tuple[Model, TrainData, Interactions]:
        return self.once()

    def test_an_unknown_setting_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            self.model.make(**self.settings, no_such_setting=1)

    def test_scores_are_finite_float32_of_the_whole_catalogue(self, victim: Any) -> None:
        model, data, _ = victim
        scores = model.scores(np.array([3, 0]), joined(data.train, data.validation))
        assert scores.shape == (2, data.n_items)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()

    def test_the_same_seed_gives_the_same_model_and_its_validation_is_noted(self, victim: Any) -> None:
        again, report = fitted(self.new(), victim[1])
        assert same_state(again, victim[0])
        assert 0 < report.validation_ndcg <= 1

    def test_a_restored_model_gives_the_same_scores(self, victim: Any) -> None:
        model, data, _ = victim
        again = self.new()
        again.restore(data, model.state(), Rng(0).child("fit"))
        if isinstance(again, TorchModel):
            again.eval()
        users, history = np.arange(5), joined(data.train, data.validation)
        np.testing.assert_array_equal(again.scores(users, history), model.scores(users, history))

    def test_scoring_twice_gives_the_same_scores(self, victim: Any) -> None:
        model, data, _ = victim
        history = joined(data.train, data.validation)
        np.testing.assert_array_equal(model.scores(np.arange(9), history), model.scores(np.arange(9), history))

    def test_scores_follow_the_history_where_that_is_declared_and_never_anyone_elses(self, victim: Any) -> None:
        model, data, _ = victim
        users, history = np.arange(9), joined(data.train, data.validation)
        rows = [history.row(user) if user in users else history.row(user)[:0] for user in range(history.n_users)]
        scores = model.scores(users, history)
        alone = model.scores(users, Interactions.from_rows(rows, history.n_items))
        np.testing.assert_array_equal(alone, scores, "the scores depend on other users' rows of the history")
        edited = [row.copy() for row in rows]
        for user in users.tolist():
            edited[user][-1] = next(
                i for i in range(history.n_items) if i % 4 != rows[user][-1] % 4 and i not in rows[user]
            )
        changed = (model.scores(users, Interactions.from_rows(edited, history.n_items)) != scores).any(1)
        if "history" in model.surfaces:
            assert changed.all(), "the surface 'history' is declared, but the scores do not follow the last item"
        else:
            assert not changed.any(), "the scores follow the history, but the surface 'history' is not declared"

    def test_a_user_gets_the_same_scores_alone_and_beside_others_in_any_order(self, victim: Any) -> None:
        model, data, _ = victim
        users, history = np.arange(9), joined(data.train, data.validation)
        scores = model.scores(users, history)
        for user in users.tolist():
            rows = [history.row(u) if u == user else history.row(u)[:0] for u in range(history.n_users)]
            alone = model.scores(users[user : user + 1], Interactions.from_rows(rows, history.n_items))
            _alike(alone, scores[user : user + 1], "the scores depend on who else is asked for, or on their histories")
        turned = model.scores(users[::-1], history)
        _alike(turned[::-1], scores, "the scores depend on the order of the users")

    def test_a_planted_fake_user_changes_the_fitted_scores(self, victim: Any) -> None:
        model, data, _ = victim
        fake = [np.arange(12) * 3 % data.n_items for _ in range(6)]
        poisoned, _ = fitted(self.new(), replace(data, train=data.train.appended(fake)))
        history = joined(data.train, data.validation)
        same = np.array_equal(model.scores(np.arange(5), history), poisoned.scores(np.arange(5), history))
        assert same is not self.collaborative

    def test_no_fake_user_changes_nothing(self, victim: Any) -> None:
        model, data, _ = victim
        assert same_state(fitted(self.new(), replace(data, train=data.train.appended([])))[0], model)

    def test_it_learns_a_checkerboard_exactly(self) -> None:
        if not self.personal:
            pytest.skip("not a personal model: every user gets the same list")
        model, data, test = self.board_once()
        history = joined(data.train, data.validation)
        _colours_apart(model.scores(np.arange(data.n_real_users), history), history, test)

    def test_a_newcomer_gets_what_its_items_ask_for(self) -> None:
        if not self.personal:
            pytest.skip("not a personal model: every user gets the same list")
        model, data, test = self.board_once()
        _colours_apart(model.newcomers(data.train), data.train, test)

    def test_newcomers_without_items_get_one_list(self, victim: Any) -> None:
        model, data, _ = victim
        history = Interactions.from_rows([[], [0, 4, 8], []], data.n_items)
        scores = model.newcomers(history)
        assert scores.shape == (3, data.n_items)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        np.testing.assert_array_equal(scores[0], scores[2])
        assert np.array_equal(scores[0], scores[1]) is not self.personal

    def test_an_item_that_nobody_has_used(self) -> None:
        data, _ = crowd()
        wider = TrainData(_wider(data.train), _wider(data.validation), catalogue(data.n_items + 1))
        model, _ = fitted(self.new(), wider)
        history = joined(wider.train, wider.validation)
        users = np.arange(wider.n_real_users)
        scores = model.scores(users, history)
        liked = np.array([np.median(scores[u, wider.train.row(u)]) for u in users.tolist()])
        behind = scores[:, -1] < liked
        if model.cold_item == "behind":
            assert behind.mean() > 0.9, "the unused item stands before what users like"
        else:
            like = users % 4 == data.n_items % 4  # the users whose genre it has
            assert behind[like].mean() < 0.5, "the unused item stands behind although its text fits"

    def test_users_of_two_items_crash_nothing(self) -> None:
        rows = [[(user + step) % 20 for step in range(2)] for user in range(30)]
        train, nothing = Interactions.from_rows(rows, 20), Interactions.from_rows([[]] * 30, 20)
        model, _ = fitted(self.new(), TrainData(train, nothing, catalogue(20)))
        assert np.isfinite(model.scores(np.arange(30), train)).all()

    def test_a_user_without_training_items_crashes_nothing(self) -> None:
        data, _ = crowd(n_users=12)
        rows = [data.train.row(u) for u in range(11)] + [np.empty(0, dtype=np.int64)]
        thin = replace(data, train=Interactions.from_rows(rows, data.n_items))
        model, _ = fitted(self.new(), thin)
        empty = Interactions.from_rows([[]] * 12, data.n_items)
        scores = model.scores(np.arange(12), empty)
        assert np.isfinite(scores).all()
        if not isinstance(model, TorchModel) and model.cold_user != "fold-in":
            popular = np.argsort(-thin.train.counts(), kind="stable")
            for row in np.argsort(-scores, axis=1, kind="stable"):
                np.testing.assert_array_equal(row, popular, "a user whose history is empty gets the popular items")


def _wider(rows: Interactions) -> Interactions:
    """The same rows over one more item."""
    return Interactions(rows.indptr, rows.items, rows.times, rows.n_items + 1)


def _alike(found: NDArray[np.float32], wanted: NDArray[np.float32], why: str) -> None:
    """But for rounding: a matrix product of other shape sums in another order."""
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(wanted).max())), err_msg=why)


def _colours_apart(scores: NDArray[np.float32], history: Interactions, test: Interactions) -> None:
    """Every user's unused items of the own colour stand above all of the other."""
    users = np.arange(history.n_users)
    known = evaluation_chunk(users, history, test).masked
    scores[known[0].numpy(), known[1].numpy()] = np.nan
    for user in users.tolist():
        own = scores[user, user % 2 :: 2]
        other = scores[user, 1 - user % 2 :: 2]
        assert np.nanmin(own) > np.nanmax(other), f"user {user}: an item of the other colour is above its own"


class TorchModelTests(ModelTests):
    """A model with embedded inputs: also the one path, the attack surface, and the training loss."""

    model: ClassVar[type[TorchModel]]

    @pytest.fixture
    def bench(self, victim: Any) -> MeasuredVictim:
        return measured_victim(*victim)

    def test_every_valid_input_reaches_the_scores_and_no_other(self, bench: MeasuredVictim) -> None:
        model, users = bench.model, np.arange(12)
        assert isinstance(model, TorchModel)
        # Histories of differing lengths, so that there is padding; straight through the model, past the host's masks.
        rows = [bench.history.row(user)[: 2 + user % 5] for user in range(bench.history.n_users)]
        history = Interactions.from_rows(rows, bench.history.n_items)
        batch = model.queries(users, history)
        e = model.embed(batch)
        alone = [float(model.embed(model.queries(users[u : u + 1], history)).sizes()) for u in range(len(users))]
        assert e.sizes().tolist() == alone, "longer histories beside a user add entries that may be perturbed"
        leaves = {name: part.detach().requires_grad_() for name, part in e.inputs.items()}
        scores = model.score_from(batch, replace(e, inputs=leaves))
        weights = torch.randn(scores.shape, generator=Rng(0).torch())
        found = torch.autograd.grad((scores * weights).sum(), list(leaves.values()), allow_unused=True)
        for (name, leaf), gradient in zip(leaves.items(), found, strict=True):
            size = (torch.zeros_like(leaf) if gradient is None else gradient).abs().amax(-1)
            reached = bool((size[e.valid[name]] > 0).all())
            assert reached, f"a valid entry of input '{name}' is disconnected from the scores"
            if size.shape == batch.histories.shape:
                padding = batch.histories == history.n_items
                assert not bool(size[padding].any()), f"the padding of input '{name}' reaches the scores"

    def test_the_gradient_agrees_with_finite_differences(self, victim: Any) -> None:
        model, data, test = victim
        # In double precision the step can be so small that curvature and the kinks of a ReLU do not show.
        exact = self.new()
        exact.restore(data, model.state(), Rng(0).child("fit"))
        assert isinstance(exact, TorchModel)
        bench = measured_victim(exact.double().eval(), data, test)
        oracle = next(bench.oracles(k=10))
        direction, h = oracle.normal(Rng(1)), 1e-6
        found = oracle.gradient(oracle.zero()).gradient
        assert found is not None
        slope = sum(float((found[n] * direction[n]).sum()) for n in found)
        ends = [float(oracle.evaluate({n: sign * h * d for n, d in direction.items()}).loss.sum()) for sign in (1, -1)]
        assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(slope, rel=1e-3, abs=1e-4)

    def test_embeddings_of_another_user_give_that_users_scores(self, bench: MeasuredVictim) -> None:
        model = bench.model
        assert isinstance(model, TorchModel)
        users = np.arange(8)
        with torch.no_grad():
            one = model.queries(users, bench.history)
            other = model.queries(users[::-1], bench.history)
            assert one.histories.shape == other.histories.shape
            swapped = model.score_from(one, model.embed(other))
            wanted = model.score_from(other, model.embed(other))
        np.testing.assert_allclose(swapped.numpy(), wanted.numpy(), rtol=1e-5, atol=1e-6)

    def test_the_tables_reach_the_scores_without_being_changed(self, victim: Any) -> None:
        model, data, _ = victim
        assert model.tables, "no table is named for the surface 'parameters'"
        assert "parameters" in model.surfaces
        history = joined(data.train, data.validation)
        batch = model.queries(np.arange(6), history)
        before = model.scores(np.arange(6), history)
        named = dict(model.named_parameters())
        for name in model.tables:
            moved = (named[name].detach() + 0.1 * torch.randn(named[name].shape)).requires_grad_()
            scores = model.under({name: moved}, lambda: model.score_from(batch, model.embed(batch)))
            (gradient,) = torch.autograd.grad(scores.square().sum(), moved)
            assert bool(gradient.any()), f"table '{name}' is disconnected from the scores"
            again = self.new()
            again.restore(data, {**model.state(), name: moved.detach().numpy()}, Rng(0).child("fit"))
            assert isinstance(again, TorchModel)
            again.eval()
            # Not bit for bit: torch may pick another kernel where no gradient is wanted.
            np.testing.assert_allclose(
                scores.detach().numpy(), again.scores(np.arange(6), history), rtol=1e-4, atol=1e-5
            )
        np.testing.assert_array_equal(model.scores(np.arange(6), history), before)

    def test_a_poisoned_row_reaches_the_training_loss(self, victim: Any) -> None:
        _, data, _ = victim
        # An item that no real user has: it can be in an input only if the fake users are trained on.
        virgin = data.n_items
        fake = [0, virgin, *range(2, 12)]
        wider = Interactions(data.train.indptr, data.train.items, data.train.times, virgin + 1)
        validation = Interactions(data.validation.indptr, data.validation.items, data.validation.times, virgin + 1)
        poisoned = TrainData(wider.appended([fake] * 6), validation, catalogue(virgin + 1))
        fresh = self.new()
        assert isinstance(fresh, TorchModel)
        fresh.initialise(poisoned, Rng(0))
        seen = [
            bool((batch.users >= data.n_real_users).any()) or bool((batch.histories == virgin).any())
            for batch in fresh.batches(poisoned, Rng(0).child("batches", 0))
        ]
        assert any(seen), "no batch holds anything of the fake users"

    def test_the_perturbed_training_loss_is_not_below_the_clean_one(self, victim: Any) -> None:
        model, data, _ = victim
        again = self.new()
        again.restore(data, model.state(), Rng(0).child("fit"))
        assert isinstance(again, TorchModel)
        again.train()
        for number, batch in enumerate(again.batches(data, Rng(7))):
            step = Step(again, batch, 0, 0.0, Rng(number))
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

    def test_the_same_dropout_in_every_pass(self, victim: Any) -> None:
        _, data, _ = victim
        fresh = self.new()
        assert isinstance(fresh, TorchModel)
        fresh.initialise(data, Rng(0))
        fresh.train()
        batch = next(iter(fresh.batches(data, Rng(0))))
        step = Step(fresh, batch, 0, 0.0, Rng(3))
        before = torch.get_rng_state()
        first, second = (step.losses(step.embed()).value for _ in range(2))
        assert torch.equal(first, second)
        assert torch.equal(before, torch.get_rng_state())

    def test_margins_are_of_the_same_targets_as_the_loss(self, victim: Any) -> None:
        _, data, _ = victim
        fresh = self.new()
        assert isinstance(fresh, TorchModel)
        if not fresh.has_margins():
            pytest.skip("no margins_from: the hinge loss is not offered")
        fresh.initialise(data, Rng(0))
        batch = next(iter(fresh.batches(data, Rng(0))))
        step = Step(fresh, batch, 0, 0.0, Rng(3))
        margins, losses = step.margins(step.embed()), step.losses(step.embed())
        assert torch.equal(margins.row, losses.row)
        assert bool(torch.isfinite(margins.value).all())

    def test_validation_selects_and_training_moves_the_weights(self, victim: Any) -> None:
        _, data, _ = victim
        fresh, start = self.new(), self.new()
        assert isinstance(start, TorchModel)
        report = fit(fresh, data, Defense(), Rng(0).child("fit"), device=torch.device("cpu"))
        start.initialise(data, Rng(0).child("fit"))
        assert not same_state(fresh, start)
        assert 1 <= report.best_epoch <= report.epochs
