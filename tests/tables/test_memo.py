"""Tests the memory of computed arrays."""

import numpy as np
import pytest
from tests.fakes import METRICS, USERS, World

from robench.api.metric import Measure
from robench.tables.memo import Memo
from robench.tables.results import read_results


def test_an_array_is_computed_once_and_nobody_can_change_it():
    memo, calls = Memo(100), []

    def compute():
        calls.append(0)
        return np.zeros(3)

    assert memo.get("a", compute) is memo.get("a", compute)
    assert len(calls) == 1
    with pytest.raises(ValueError, match="read-only"):
        memo.get("a", compute)[0] = 1


def test_an_array_that_does_not_apply_is_remembered_too():
    memo = Memo(100)
    assert memo.get("a", lambda: None) is None
    assert memo.get("a", lambda: np.zeros(1)) is None


def test_beyond_the_limit_all_are_dropped():
    memo = Memo(100)
    first = memo.get("a", lambda: np.zeros(10))
    second = memo.get("b", lambda: np.ones(10))
    assert memo.size == second.nbytes
    assert memo.get("b", lambda: np.zeros(10)) is second
    assert memo.get("a", lambda: np.ones(10)) is not first


def test_each_target_set_has_its_own_values(tmp_path):
    world = World(tmp_path / "w", [])
    world.targets = {"count": 1, "pick": "all", "sets": 2}
    world.cell([1] * USERS, arrays={"target_ranks": [[1] * USERS, [99] * USERS]})
    world.build()
    results = read_results(world.store.folder, METRICS)
    (cell,) = results.cells
    measure = Measure("t-hr", 10)
    assert [results.per_user(cell, measure, one).mean() for one in (0, 1, None)] == [1, 0, 0.5]
    assert [results.per_target(cell, measure, one).mean() for one in (0, 1, None)] == [1, 0, 0.5]
