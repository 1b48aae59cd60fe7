"""What every defence, metric, data set and executor must pass."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from robench.api.data import Dataset, joined
from robench.api.defense import Defense
from robench.api.executor import Emit, Executor, Task
from robench.api.metric import Metric, Outcome
from robench.api.rng import Rng
from robench.api.step import Step
from robench.api.text import printable
from robench.api.torch_model import Embedded, TorchModel
from robench.conformance.worlds import ReferencePairwise, ReferenceSequence, crowd, fitted, same_state


class DefenseTests:
    """Subclass with ``defense = Mine``; ``settings`` of a working defence.

    ``adversarial``: it trains on a perturbation that raises the model's own loss, so it is held to that as well.
    """

    defense: ClassVar[type[Defense]]
    settings: ClassVar[dict[str, Any]] = {}
    adversarial: ClassVar[bool] = False

    @pytest.fixture(params=[ReferencePairwise, ReferenceSequence])
    def model(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    def test_an_unknown_setting_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            self.defense.make(**self.settings, no_such_setting=1)

    def test_the_same_seed_gives_the_same_model(self, model: Any) -> None:
        data, _ = crowd()
        settings = {"epochs": 2}
        one, two = (fitted(model.make(**settings), data, self.defense.make(**self.settings))[0] for _ in range(2))
        assert same_state(one, two)

    def test_at_lambda_one_it_is_no_defence_bit_for_bit(self, model: Any) -> None:
        if "lambda_" not in self.defense.Config.model_fields:
            pytest.skip("not a defence with λ")
        data, _ = crowd()
        defense = self.defense.make(**{**self.settings, "lambda": 1.0})
        one, two = (fitted(model.make(epochs=3), data, d)[0] for d in (None, defense))
        assert same_state(one, two)

    def test_below_lambda_one_it_changes_the_model(self, model: Any) -> None:
        if "lambda_" not in self.defense.Config.model_fields:
            pytest.skip("not a defence with λ")
        data, _ = crowd()
        defense = self.defense.make(**{**self.settings, "lambda": 0.5})
        one, two = (fitted(model.make(epochs=2), data, d)[0] for d in (None, defense))
        assert not same_state(one, two), "the defence is not connected"

    def test_without_budget_one_step_is_the_clean_step(self, model: Any) -> None:
        fields = self.defense.Config.model_fields
        if "lambda_" not in fields or "epsilon" not in fields or self.settings.get("loss", "own") != "own":
            pytest.skip("not a defence with λ, ε and the model's own loss")
        data, _ = crowd()
        grads = []
        for defense in (None, self.defense.make(**{**self.settings, "lambda": 0.5, "epsilon": 0.0})):
            fresh = model.make()
            fresh.initialise(data, Rng(0))
            fresh.train()
            step = Step(fresh, next(iter(fresh.batches(data, Rng(1)))), 0, 0.0, Rng(2))
            loss = step.losses(step.embed()).value.mean() if defense is None else defense.loss(step)
            loss.backward()
            grads.append([p.grad for p in fresh.parameters()])
        for one, two in zip(*grads, strict=True):
            assert one is not None
            assert two is not None
            torch.testing.assert_close(one, two, rtol=0, atol=1e-6)

    def test_the_perturbed_loss_is_not_below_the_clean_one(self, model: Any) -> None:
        if not self.adversarial:
            pytest.skip("not about a perturbation that raises the model's own loss")
        data, _ = crowd()
        trained, _ = fitted(model.make(epochs=3), data)
        assert isinstance(trained, TorchModel)
        trained.train()
        defense = self.defense.make(**{**self.settings, "lambda": 0.0, "epsilon": 0.01})
        grown = []
        for number, batch in enumerate(trained.batches(data, Rng(7))):
            step = Step(trained, batch, 10**6, 0.0, Rng(number))
            grown.append(float(defense.loss(step).detach() - step.losses(step.embed()).value.mean().detach()))
        assert min(grown) >= -1e-6
        assert np.mean(grown) > 1e-5, "the perturbation does not reach the loss"

    def test_the_budget_that_was_spent_is_reported(self, model: Any) -> None:
        if not self.adversarial:
            pytest.skip("not about a perturbation that raises the model's own loss")
        data, _ = crowd()
        settings = {**self.settings, "lambda": 0.5, "warmup": 0} if "warmup" in self.settings else self.settings
        _, report = fitted(model.make(epochs=1), data, self.defense.make(**settings))
        assert report.achieved.get("train_epsilon_share", 0.0) > 0
        assert np.isfinite(list(report.achieved.values())).all()

    def test_titles_stay_titles(self) -> None:
        if not self.defense.overrides("clean_text"):
            pytest.skip("not a defence that reads titles")
        for title in (
            "Heat",
            "Crouching Tiger, Hidden Dragon",
            "8½",
            "\u0410 \u200bto Z",
            "***",
            "Ignore all other titles",
        ):
            found = self.defense.make(**self.settings).clean_text(title)
            assert isinstance(found, str)
            assert found.strip(), f"'{title}' is gone, and an item needs a title"
            assert printable(found)
            assert found == self.defense.make(**self.settings).clean_text(title), "read otherwise the second time"

    def test_a_wrapped_model_scores_the_same_inputs_differently(self, model: Any) -> None:
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


class MetricTests:
    """Subclass with ``metric = Mine``."""

    metric: ClassVar[type[Metric]]
    k: ClassVar[int] = 10

    def outcome(self, seed: int = 0, worst: bool = False) -> Outcome:
        generator = np.random.default_rng(seed)
        counts = generator.integers(1, 4, 30)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        ranks = [np.sort(generator.choice(np.arange(1, 60), c, replace=False)) for c in counts]
        flat = np.full(indptr[-1], 999, dtype=np.int64) if worst else np.concatenate(ranks).astype(np.int64)
        top = np.array([generator.choice(1000, 10, replace=False) for _ in counts], dtype=np.int64)
        targets = np.where(generator.random((3, 30)) < 0.1, 0, generator.integers(1, 1000, (3, 30)))
        if worst:
            targets = np.full((3, 30), 1000)
        likes, dislikes = generator.random((2, len(flat)))
        if worst:
            likes, dislikes = np.zeros(len(flat)), np.ones(len(flat))
        full = np.full(30, 1000, dtype=np.int64)
        return Outcome(indptr, flat, top, full, targets.astype(np.int64), likes=likes, dislikes=dislikes)

    def values(self, outcome: Outcome) -> Any:
        clean = self.outcome(1)
        whole = replace(outcome, clean=clean)
        return self.metric().per_user(whole, self.k if self.metric.at_k else 0)

    def test_a_value_per_user_and_finite_where_defined(self) -> None:
        values = self.values(self.outcome())
        assert values.shape == (30,)
        assert values.dtype == np.float64
        assert not np.isinf(values).any()
        assert (values.mean() if self.metric.pooled else values[~np.isnan(values)].min()) >= 0

    def test_the_worst_outcome_is_worth_nothing(self) -> None:
        if self.metric.needs == "clean":
            pytest.skip("about lists, not about ranks")
        assert np.nanmax(self.values(self.outcome(worst=True))) == pytest.approx(0, abs=1e-9)


class DatasetTests:
    """Subclass with ``dataset = Mine`` and the settings of a small one."""

    dataset: ClassVar[type[Dataset]]
    settings: ClassVar[dict[str, Any]] = {}

    def made(self) -> Dataset:
        made: Dataset = self.dataset.make(**self.settings)
        return made

    def test_rows_belong_together(self) -> None:
        ratings = self.made().load()
        assert len(ratings.users) == len(ratings.items) > 0
        assert ratings.times is None or ratings.times.dtype == np.int64

    def test_loading_twice_gives_the_same(self) -> None:
        one, two = self.made().load(), self.made().load()
        np.testing.assert_array_equal(one.users, two.users)
        np.testing.assert_array_equal(one.items, two.items)
        assert self.made().fingerprint() == self.made().fingerprint()

    def test_it_names_its_licence_and_source(self) -> None:
        assert self.dataset.licence
        assert self.dataset.source


def echo(task: Task, emit: Emit) -> None:
    """Work for tests of executors: says its payload; ``{"die": True}`` ends the process."""
    if task.payload.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    emit({"kind": "cell", "task": task.id, "said": task.payload["say"]})


class ExecutorTests:
    """Subclass with ``executor = Mine``."""

    executor: ClassVar[type[Executor]]
    settings: ClassVar[dict[str, Any]] = {}

    def run(self, tasks: list[Task]) -> list[Any]:
        events: list[Any] = []
        self.executor.make(**self.settings).run(tasks, echo, events.append)
        return events

    def test_every_task_is_done_once(self) -> None:
        events = self.run([Task(str(n), {"say": n}) for n in range(5)])
        assert sorted(event["said"] for event in events) == list(range(5))

    def test_no_task_no_event(self) -> None:
        assert self.run([]) == []

    def test_a_worker_that_dies_costs_its_own_task(self) -> None:
        events = self.run([Task("a", {"say": 1}), Task("b", {"die": True}), Task("c", {"say": 3})])
        assert sorted(event["said"] for event in events if event["kind"] == "cell") == [1, 3]
        assert [event["task"] for event in events if event["kind"] == "lost"] == ["b"]
