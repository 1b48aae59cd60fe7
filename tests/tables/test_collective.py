"""Tests the intervals of metrics that describe the lists of all users together."""

import math

import numpy as np
import pytest
from scipy.stats import t
from tests.fakes import FAKES, METRICS, USERS, World, ranks

from robench.api.metric import Measure
from robench_plugins.metrics.lists import Coverage, ListPopularity

COVERAGE, POPULARITY = Measure("coverage", 10), Measure("list-popularity", 10)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setitem(METRICS, "coverage", Coverage())
    monkeypatch.setitem(METRICS, "list-popularity", ListPopularity())
    world = World(tmp_path / "w", [])
    world.metrics = ["ndcg@10", "coverage@10", "list-popularity@10"]
    world.facts()
    return world


def lists(different):
    """Returns the lists of all users.

    Together, the lists contain ``different`` distinct items.
    """
    return {"top": (np.arange(10) + np.arange(USERS)[:, None]) % different}


def clean_of(world):
    (row,) = world.build().clean
    return row.values


def test_the_interval_is_over_seeds_alone(world):
    for seed, different in ((0, 20), (1, 30)):
        world.cell(ranks(20, 99), seed=seed, arrays=lists(different))
    interval = clean_of(world)[COVERAGE]
    half = t.ppf(0.975, 1) * 0.05
    assert interval.mean == pytest.approx(0.25)
    assert (interval.low, interval.high) == pytest.approx((max(0, 0.25 - half), min(1, 0.25 + half)))


def test_one_seed_leaves_the_interval_open(world):
    world.cell(ranks(20, 99), arrays=lists(20))
    values = clean_of(world)
    assert (values[COVERAGE].mean, values[COVERAGE].low, values[COVERAGE].high) == (0.2, 0.0, 1.0)
    assert math.isfinite(values[POPULARITY].high)


def test_a_poisoning_changes_lists_by_seed(world):
    for seed in (0, 1, 2):
        world.cell(ranks(20, 99), seed=seed, arrays=lists(20 + seed))
        world.cell(ranks(20, 99), seed=seed, attack="b", epsilon=0.05, threat=FAKES, arrays=lists(40 + seed + seed % 2))
    effects = {row.metric: row for row in world.build().poisoning}
    assert effects[COVERAGE].effect.mean == pytest.approx((0.2 + 0.21 + 0.2) / 3)
    assert effects[COVERAGE].verdict == "rises"
    assert effects[COVERAGE].effect.high - effects[COVERAGE].effect.mean == pytest.approx(
        t.ppf(0.975, 2) * np.std([0.2, 0.21, 0.2], ddof=1) / 3**0.5
    )
