"""Tests how far a metric that is measured again may differ from the stored one.

The stored value may come from another machine.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from robench.verify.rerun import _distance

USERS = 100


def results(values):
    """Returns stub results with one measure, and with ``values`` as its user values."""
    return SimpleNamespace(plan=SimpleNamespace(metrics=["ndcg@10"]), per_user=lambda row, measure: values)


@pytest.mark.parametrize(("errors", "far"), [(0.0, False), (3.9, False), (-3.9, False), (4.1, True), (-4.1, True)])
def test_a_mean_may_differ_by_four_of_its_standard_errors(errors, far):
    noise = np.tile([-0.1, 0.1], USERS // 2)
    old = np.linspace(0, 1, USERS)
    new = old + noise + errors * 0.1 / math.sqrt(USERS)
    problem = _distance(results(old), None, results(new))
    assert problem.startswith("ndcg@10 differs by") if far else not problem


def test_equal_changes_of_all_users_leave_no_room():
    old = np.linspace(0, 0.5, USERS)
    assert "differs by +0.0100" in _distance(results(old), None, results(old + 0.01))
    assert not _distance(results(old), None, results(old.copy()))


def test_values_of_other_users_are_no_noise():
    old, new = np.linspace(0, 1, USERS), np.linspace(0, 1, USERS)
    old[0], new[1] = np.nan, np.nan
    assert _distance(results(old), None, results(new)) == "ndcg@10 has values of other users"
