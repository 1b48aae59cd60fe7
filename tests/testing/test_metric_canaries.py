"""Tests that the conformance class of metrics accepts any range and direction.

The class also detects a wrong direction, wrong bounds, and a metric that ignores the outcome.
"""

from typing import ClassVar

import numpy as np
import pytest

from robench.api import Metric
from robench.testing import MetricTests


class MeanRank(Metric):
    """The mean rank of the held-out items, from 1."""

    at_k = False
    higher_is_better = False
    bounds: ClassVar = (1.0, float("inf"))

    def per_user(self, outcome, k):
        return outcome.per_user_sum(outcome.ranks.astype(float)) / np.diff(outcome.indptr)


class Percentile(MeanRank):
    """The mean share of candidates above the held-out items."""

    bounds: ClassVar = (0.0, 1.0)

    def per_user(self, outcome, k):
        return (super().per_user(outcome, k) - 1) / outcome.candidates


class Auc(Percentile):
    """The mean share of candidates that are not above the held-out items."""

    higher_is_better = True

    def per_user(self, outcome, k):
        return 1 - super().per_user(outcome, k)


class Novelty(Metric):
    """The mean of log2(1 + id) over the listed items.

    Items with large ids stand for rare items.
    """

    needs = "clean"
    bounds: ClassVar = (0.0, float("inf"))
    higher_is_better = False

    def per_user(self, outcome, k):
        return np.log2(1 + outcome.top[:, :k].astype(float)).mean(1)


class Backwards(MeanRank):
    """A metric with a planted fault: the direction is wrong."""

    higher_is_better = True


class Narrow(MeanRank):
    """A metric with a planted fault: means are outside the declared bounds."""

    bounds: ClassVar = (0.0, 1.0)


class Constant(Auc):
    """A metric with a planted fault: the outcome does not matter."""

    def per_user(self, outcome, k):
        return np.full(outcome.n_users, 0.5)


def conformance_of(kind):
    return type("Tests", (MetricTests,), {"metric": kind})()


@pytest.mark.parametrize("kind", [MeanRank, Percentile, Auc, Novelty])
def test_metrics_of_any_range_and_direction_pass(kind):
    tests = conformance_of(kind)
    tests.test_a_value_per_user_and_finite_where_defined()
    tests.test_means_are_within_the_declared_bounds()
    tests.test_better_outcomes_have_better_values()


def test_wrong_metrics_fail_and_the_values_are_shown():
    with pytest.raises(AssertionError, match=r"999 at the worst ranks, .* contradict higher_is_better = True"):
        conformance_of(Backwards).test_better_outcomes_have_better_values()
    with pytest.raises(AssertionError, match=r"mean \d.*, outside \[0.0, 1.0\]"):
        conformance_of(Narrow).test_means_are_within_the_declared_bounds()
    with pytest.raises(AssertionError, match=r"does not depend on the outcome: 0.5"):
        conformance_of(Constant).test_better_outcomes_have_better_values()
