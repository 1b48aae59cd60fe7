"""Tests how matrix factorisation chooses its weight decay by validation."""

import numpy as np
import pytest

from robench.engine.fit import loop
from robench.testing.worlds import crowd, fitted
from robench_plugins.models.mf import CHOICES, FALLBACK, MatrixFactorization


def written(**settings) -> MatrixFactorization:
    return MatrixFactorization(MatrixFactorization.Config.from_written({"epochs": 4, "decays": 1, **settings}))


def assert_same(one, two):
    for name, part in one.state().items():
        np.testing.assert_array_equal(part, two.state()[name])


def test_the_chosen_weight_decay_gives_the_model_of_a_fit_with_it(monkeypatch):
    data = crowd(60, 40)[0]
    monkeypatch.setattr(loop, "has_enough_items", lambda data: True)
    model, report = fitted(written(), data)
    alone = [fitted(written(weight_decay=one, decays=0), data) for one in CHOICES]
    best = max(range(len(CHOICES)), key=lambda number: alone[number][1].validation_ndcg)
    assert report.achieved == {"chosen_weight_decay": CHOICES[best]}
    fixed, other = fitted(written(weight_decay=CHOICES[best]), data)
    assert (other.validation_ndcg, other.achieved) == (report.validation_ndcg, {})
    assert_same(model, fixed)


def test_with_few_validation_items_the_weight_decay_is_the_fallback():
    data = crowd(60, 40)[0]
    model, report = fitted(written(), data)
    assert (model.chosen, report.achieved) == ({}, {})
    assert_same(model, fitted(written(weight_decay=FALLBACK), data)[0])


@pytest.mark.parametrize("settings", [{"weight_decay": FALLBACK}, {"weight_decay": 0}, {"by_validation": False}])
def test_a_weight_decay_of_the_suite_is_kept(settings):
    assert list(written(**settings).alternatives(crowd(60, 40)[0])) == []
