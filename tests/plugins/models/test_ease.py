"""Tests how EASE chooses its weight decay by validation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from robench.api import Defense, Interactions, Rng
from robench.engine.fit import loop
from robench.testing.worlds import crowd, fitted
from robench_plugins.models import ease as module
from robench_plugins.models.ease import CHOICES, Ease


def written(**settings) -> Ease:
    return Ease(Ease.Config.from_written(settings))


def test_validation_chooses_the_best_weight_of_the_grid():
    data = crowd(60, 40)[0]
    _, report = fitted(Ease.make(), data)
    values = {}
    for weight in CHOICES:
        alone, other = fitted(written(weight_decay=weight), data)
        values[weight] = other.validation_ndcg
        assert alone.chosen == {}
    assert report.achieved == {"chosen_weight_decay": max(values, key=values.get)}
    assert report.validation_ndcg == max(values.values()) > min(values.values())


def test_the_chosen_weight_gives_the_weights_of_a_fit_with_it(monkeypatch):
    monkeypatch.setattr(loop, "validation_ndcg", lambda model, *_, **__: abs(float(model.weights.mean())))
    data = crowd(60, 40)[0]
    model, report = fitted(Ease.make(), data)
    assert report.achieved == {"chosen_weight_decay": 30.0}  # the smallest weight has the largest entries
    fixed, _ = fitted(written(weight_decay=30), data)
    np.testing.assert_array_equal(model.weights, fixed.weights)
    again = Ease.make()
    again.restore(data, model.state(), Rng(0))
    np.testing.assert_array_equal(again.weights, fixed.weights)


def test_without_validation_items_the_weight_is_100():
    data = crowd(60, 40)[0]
    data = replace(data, validation=Interactions.from_rows([[]] * 60, 40))
    model, report = fitted(Ease.make(), data)
    assert (model.chosen, report.achieved) == ({}, {})
    np.testing.assert_array_equal(model.weights, fitted(written(weight_decay=100), data)[0].weights)


def test_of_equal_values_the_default_wins(monkeypatch):
    monkeypatch.setattr(loop, "validation_ndcg", lambda *_, **__: 0.5)
    assert fitted(Ease.make(), crowd(60, 40)[0])[0].chosen == {"weight_decay": 100.0}


@pytest.mark.parametrize("block", [7, 40, 1024])
def test_the_weights_of_the_choice_are_those_of_the_fit_but_for_rounding(monkeypatch, block):
    monkeypatch.setattr(module, "BLOCK", block)
    data, model = crowd(60, 40)[0], Ease.make()
    for settings in model.alternatives(data):
        quick, other = model.weights, written(**settings)
        other.fit(data, Rng(0))
        np.testing.assert_allclose(quick, other.weights, rtol=1e-5, atol=1e-7)
        assert quick.dtype == other.weights.dtype == np.float32


def test_a_given_weight_is_kept_and_the_settings_of_the_default_are_as_published():
    data = crowd(60, 40)[0]
    assert written(weight_decay=100).config.resolved() == {"weight_decay": 100.0, "by_validation": False}
    assert fitted(written(weight_decay=100), data)[1].achieved == {}
    assert written(weight_decay=250).config.resolved() == {"weight_decay": 250.0}
    assert fitted(written(weight_decay=250), data)[1].achieved == {}
    assert written().config.resolved() == {"weight_decay": 100.0}
    assert fitted(Ease.make(weight_decay=100.0), data)[1].achieved  # resolved settings
    assert written(weight_decay=100, by_validation=True).config.resolved() == {"weight_decay": 100.0}
    with pytest.raises(ValidationError, match="goes with no other value"):
        written(weight_decay=250, by_validation=True)


def test_the_choice_reads_no_fake_user():
    data = crowd(60, 40)[0]
    fakes = replace(data, train=data.train.appended([[1, 2, 3]] * 5))
    model = Ease.make()
    report = loop.fit(model, fakes, Defense(), Rng(0), torch.device("cpu"))
    assert report.validation_ndcg == loop.validation_ndcg(model, replace(data, train=data.train))
