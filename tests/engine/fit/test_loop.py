"""Tests the training loop with scripted validation values.

By default, the loss is linear in the only weight w, so the gradient is constant. Each step of Adam therefore has the
length of the learning rate. After n steps w = −n · rate, so w shows how many epochs the weights have been trained.
"""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from robench.api import Batch, Defense, Embedded, Losses, PluginError, Rng, TorchModel
from robench.api.data import Interactions
from robench.engine.fit import loop, training
from robench.engine.fit.loop import fit
from robench.testing.worlds import crowd, fitted

RATE = 0.01


class Ramp(TorchModel):
    """A model with one weight and one training step per epoch.

    ``slopes`` holds the gradient of each epoch. The last gradient also applies to all later epochs.
    """

    slopes = (1.0,)

    def build(self, data, rng):
        self.w = nn.Parameter(torch.zeros(1))
        self.begun = 0

    def batches(self, data, rng):
        slope = self.slopes[min(self.begun, len(self.slopes) - 1)]
        self.begun += 1
        users = torch.zeros(1, dtype=torch.int64)
        yield Batch(users, users.new_empty(1, 0), {"slope": torch.tensor([slope])})

    def queries(self, users, history):
        raise AssertionError("validation is scripted")

    def embed(self, batch):
        return Embedded({"w": self.w.unsqueeze(0)}, {"w": torch.ones(1, dtype=torch.bool)})

    def score_from(self, batch, e):
        raise AssertionError("validation is scripted")

    def loss_from(self, batch, e):
        return Losses(batch.targets["slope"] * e.inputs["w"][0], torch.zeros(1, dtype=torch.int64))


class Script:
    """A replacement for ``validation_ndcg`` that records its calls.

    Each call returns the next of ``values``.
    """

    def __init__(self, values):
        self.values, self.epochs, self.most, self.modes = list(values), [], [], []

    def __call__(self, model, data, k=10, most=None):
        self.epochs.append(model.begun)
        self.most.append(most)
        self.modes.append(model.training)
        return self.values[len(self.epochs) - 1]


def _fit(monkeypatch, values, kind=Ramp, defense=None, **settings):
    script = Script(values)
    monkeypatch.setattr(training, "validation_ndcg", script)
    data, _ = crowd(n_users=4)
    model = kind.make(**{"learning_rate": RATE, "epochs": len(script.values), **settings})
    model, report = fitted(model, data, defense)
    return model, report, script


def _steps(model):
    return -float(model.w.detach()) / RATE


def test_the_weights_of_the_best_epoch_are_restored(monkeypatch):
    model, report, script = _fit(monkeypatch, [0.1, 0.3, 0.2, 0.25])
    assert (report.epochs, report.best_epoch, report.validation_ndcg) == (4, 2, 0.3)
    assert _steps(model) == pytest.approx(2, abs=1e-3)
    assert not model.training
    assert script.modes == [False] * 4


def test_the_first_of_equal_epochs_is_kept(monkeypatch):
    model, report, _ = _fit(monkeypatch, [0.1, 0.3, 0.3])
    assert report.best_epoch == 2
    assert _steps(model) == pytest.approx(2, abs=1e-3)


def test_without_validation_items_every_epoch_runs_and_the_last_is_kept(monkeypatch):
    model, report, _ = _fit(monkeypatch, [math.nan] * 4, patience=1)
    assert (report.epochs, report.best_epoch) == (4, 4)
    assert _steps(model) == pytest.approx(4, abs=1e-3)


def test_patience_stops(monkeypatch):
    model, report, _ = _fit(monkeypatch, [0.1, 0.3, 0.2, 0.1, 0.9], patience=2)
    assert (report.epochs, report.best_epoch) == (4, 2)
    assert _steps(model) == pytest.approx(2, abs=1e-3)


def test_a_better_epoch_renews_patience(monkeypatch):
    _, report, _ = _fit(monkeypatch, [0.2, 0.1, 0.3, 0.1, 0.2, 0.9], patience=2)
    assert (report.epochs, report.best_epoch) == (5, 3)


def test_min_epochs_delay_patience(monkeypatch):
    values = [0.5, 0.4, 0.3, 0.2, 0.1, 0.0, 0.9]
    assert _fit(monkeypatch, values, patience=1)[1].epochs == 2
    assert _fit(monkeypatch, values, patience=1, min_epochs=4)[1].epochs == 5
    assert _fit(monkeypatch, values, patience=2, min_epochs=4)[1].epochs == 6


def test_validate_every_skips_epochs_but_not_the_last(monkeypatch):
    model, report, script = _fit(monkeypatch, [0.1, 0.3, 0.2], epochs=7, validate_every=3, patience=1)
    assert script.epochs == [3, 6, 7]
    assert (report.epochs, report.best_epoch) == (7, 6)
    assert _steps(model) == pytest.approx(6, abs=1e-3)


def test_patience_counts_validations_and_not_epochs(monkeypatch):
    _, report, script = _fit(monkeypatch, [0.3, 0.2, 0.1, 0.0], epochs=8, validate_every=2, patience=2)
    assert script.epochs == [2, 4, 6]
    assert report.epochs == 6


def test_training_goes_on_from_the_best_weights_with_a_third_of_the_rate(monkeypatch):
    values = [0.1, 0.5, 0.2, 0.6, 0.3, 0.2]
    model, report, script = _fit(monkeypatch, values, epochs=6, patience=1, decays=2)
    assert script.epochs[:3] == [1, 2, 3]
    assert (report.epochs, report.best_epoch, report.validation_ndcg) == (6, 4, 0.6)
    assert _steps(model) == pytest.approx(2 + 1 / 3, abs=1e-2)  # 2 whole steps, and one of a third


def test_each_rate_may_train_for_all_epochs(monkeypatch):
    values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    _, report, _ = _fit(monkeypatch, values, epochs=2, patience=1, decays=2)
    assert (report.epochs, report.best_epoch) == (6, 6)
    _, report, _ = _fit(monkeypatch, values, epochs=2, patience=1, decays=0)
    assert report.epochs == 2


def test_the_rule_auto_needs_enough_validation_items():
    def data(items: int):
        return SimpleNamespace(validation=SimpleNamespace(items=np.zeros(items)))

    assert [training.count_decays("auto", data(items)) for items in (0, 671, 4_999, 5_000)] == [0, 0, 0, 2]
    assert training.count_decays(3, data(10)) == 3


class Choosy(Ramp):
    """A model with two learning rates to choose from."""

    def alternatives(self, data):
        yield {"learning_rate": RATE}
        yield {"learning_rate": 2 * RATE}


def _choose(monkeypatch, values, enough=True, **settings):
    monkeypatch.setattr(loop, "has_enough_items", lambda data: enough)
    return _fit(monkeypatch, values, Choosy, **{"epochs": 2, "learning_rate": 1.0, **settings})


def test_the_best_alternative_is_kept_and_goes_on(monkeypatch):
    model, report, script = _choose(monkeypatch, [0.1, 0.2, 0.3, 0.1, 0.4, 0.2], decays=1)
    assert script.epochs == [1, 2, 1, 2, 3, 4]
    assert (report.epochs, report.best_epoch, report.validation_ndcg) == (4, 3, 0.4)
    assert report.achieved == {"chosen_learning_rate": 2 * RATE}
    assert _steps(model) == pytest.approx(2 + 2 / 3, abs=1e-2)  # a step of 2, and one of a third of it
    assert model.config.learning_rate == 1.0, "a restored model has the settings of the suite too"


def test_an_earlier_alternative_goes_on_with_its_own_parameters(monkeypatch):
    model, report, script = _choose(monkeypatch, [0.1, 0.4, 0.3, 0.1, 0.5, 0.2], decays=1)
    assert script.epochs == [1, 2, 1, 2, 3, 4]
    assert (report.best_epoch, model.chosen) == (3, {"learning_rate": RATE})
    assert _steps(model) == pytest.approx(2 + 1 / 3, abs=1e-2)


def test_of_equal_alternatives_the_first_is_kept(monkeypatch):
    model, _, _ = _choose(monkeypatch, [0.1, 0.3, 0.3, 0.3])
    assert (model.chosen, _steps(model)) == ({"learning_rate": RATE}, pytest.approx(2, abs=1e-3))


def test_with_few_validation_items_nothing_is_chosen(monkeypatch):
    model, report, _ = _choose(monkeypatch, [0.1, 0.2], enough=False)
    assert (model.chosen, report.achieved) == ({}, {})
    assert _steps(model) == pytest.approx(200, rel=1e-3)


def test_the_epochs_of_all_alternatives_are_reported(monkeypatch):
    monkeypatch.setattr(loop, "has_enough_items", lambda data: True)
    monkeypatch.setattr(training, "validation_ndcg", Script([0.1, 0.2, 0.3, 0.4]))
    reports = []
    data, _ = crowd(n_users=4)
    fit(Choosy.make(epochs=2), data, Defense(), Rng(0), torch.device("cpu"), lambda *done: reports.append(done))
    assert reports == [(1, 2), (2, 2), (3, 4), (4, 4)]


class WarmUp(Defense):
    """A defence with a warm-up of two epochs."""

    def settled(self, epoch):
        return epoch >= 2


def test_epochs_of_a_warm_up_are_neither_validated_nor_kept(monkeypatch):
    model, report, script = _fit(monkeypatch, [0.3, 0.2, 0.1], defense=WarmUp(), epochs=5, patience=2)
    assert script.epochs == [3, 4, 5]
    assert (report.epochs, report.best_epoch, report.validation_ndcg) == (5, 3, 0.3)
    assert _steps(model) == pytest.approx(3, abs=1e-3)


def test_validation_users_are_passed_on(monkeypatch):
    assert _fit(monkeypatch, [0.1, 0.2], validation_users=17)[2].most == [17, 17]


def test_clip_bounds_the_gradient_of_a_step(monkeypatch):
    """Gradients of 1 and 1000 that are clipped to 1 give two full steps of Adam.

    Without clipping, the second step is about a quarter shorter.
    """

    class Cliff(Ramp):
        slopes = (1.0, 1000.0)

    assert _steps(_fit(monkeypatch, [0.1, 0.2], Cliff, clip=1.0)[0]) == pytest.approx(2, abs=1e-3)
    second = (0.9 * 0.1 + 0.1 * 1000) / (1 - 0.9**2) / math.sqrt((0.999 * 0.001 + 0.001 * 1000**2) / (1 - 0.999**2))
    assert second < 0.8
    assert _steps(_fit(monkeypatch, [0.1, 0.2], Cliff, clip=2000.0)[0]) == pytest.approx(1 + second, abs=1e-3)


@pytest.mark.parametrize("slope", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_fit(monkeypatch, slope):
    class Broken(Ramp):
        slopes = (1.0, slope)

    with pytest.raises(PluginError, match="epoch 2"):
        _fit(monkeypatch, [0.1, 0.2, 0.3], Broken)


def test_every_epoch_is_reported(monkeypatch):
    monkeypatch.setattr(training, "validation_ndcg", Script([0.1, 0.2, 0.3]))
    data, _ = crowd(n_users=4)
    reports = []
    model = Ramp.make(epochs=3)
    fit(model, data, Defense(), Rng(0), torch.device("cpu"), lambda *done: reports.append(done))
    assert reports == [(1, 3), (2, 3), (3, 3)]


class Mixed(Ramp):
    """A model with a buffer that changes its scores only."""

    def build(self, data, rng):
        super().build(data, rng)
        self.register_buffer("mix", torch.tensor(0.25))

    def score_alternatives(self):
        return [{"mix": 0.0}, {"mix": 0.5}, {"mix": 1.0}]


def test_every_validation_chooses_among_the_score_alternatives_and_keeps_the_best_with_its_weights(monkeypatch):
    values = [0.1, 0.2, 0.1, 0.3, 0.4, 0.4, 0.2, 0.3, 0.3]  # three epochs with three alternatives each
    model, report, script = _fit(monkeypatch, values, kind=Mixed, epochs=3)
    assert script.epochs == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert (report.best_epoch, report.validation_ndcg) == (2, 0.4)
    assert _steps(model) == pytest.approx(2, abs=1e-3)
    assert float(model.state()["mix"]) == 0.5  # of equal values, the first
    assert model.chosen == {"mix": 0.5}
    assert report.achieved["chosen_mix"] == 0.5
    other = Mixed.make()
    other.restore(crowd(n_users=4)[0], model.state(), Rng(0))
    assert float(other.mix) == 0.5


def test_without_users_to_validate_on_a_buffer_keeps_its_value(monkeypatch):
    monkeypatch.setattr(training, "validation_ndcg", Script([math.nan] * 2))
    data, _ = crowd(n_users=4)
    data = replace(data, validation=Interactions.from_rows([[]] * 4, data.n_items))
    model, report = fitted(Mixed.make(epochs=2), data)
    assert float(model.mix) == 0.25
    assert model.chosen == {}
    assert "chosen_mix" not in report.achieved
