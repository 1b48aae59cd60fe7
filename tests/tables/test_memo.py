"""Tests the memory of computed arrays."""

import numpy as np
import pytest

from robench.tables.memo import Memo


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
