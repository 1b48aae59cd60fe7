"""Tests the error rates of all statistics in a few simulated worlds."""

import numpy as np
import pytest
from tools.perf.null_worlds import find_problems, make_world, measure_rates


@pytest.mark.parametrize("spread", [0.0, 0.12])
def test_equal_rows_are_rarely_separated(spread):
    assert find_problems(measure_rates(120, 3, 671, spread), slack=3.0) == []


def test_a_world_is_like_ndcg():
    world = make_world(np.random.default_rng(0), 3, 671, 0.0)
    assert 70 < (world[:-1] > 0).sum(2).mean() < 130
    assert world.max() == 1
    assert set(np.unique(world)) <= {0.0, *(1 / np.log2(1 + np.arange(1, 11)))}
