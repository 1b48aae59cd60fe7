"""Metrics that compare recommended lists.

Each metric compares the lists of a cell with the lists of the victim's clean cell.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robench.api import FloatArray, IntArray, Metric, Outcome
from robench.api.metric import Needs

PERSISTENCE = 0.9  # p of rank-biased overlap


def overlaps(one: IntArray, two: IntArray, k: int) -> FloatArray:
    """Returns how many items two lists share at each depth, float64 [users, k].

    Args:
        one: the first list of each user, int64 [users, at least k], padded with −1.
        two: the second list of each user, int64 [users, at least k], padded with −1.
        k: the greatest depth.
    """
    one, two = (np.ascontiguousarray(part[:, :k].T) for part in (one, two))  # sums over whole columns are fast
    shared = (one[:, None] == two) & (one >= 0)[:, None]
    # An item in both lists counts from the deeper of its two positions onwards.
    starts = [
        shared[depth : depth + 1, : depth + 1].sum((0, 1), dtype=np.int8)
        + shared[:depth, depth : depth + 1].sum((0, 1), dtype=np.int8)
        for depth in range(k)
    ]
    return np.cumsum(np.stack(starts, axis=1), axis=1, dtype=np.float64)


class StabilityMetric(Metric):
    """The base class of metrics that compare recommended lists.

    Without a clean cell, all values are NaN.
    """

    needs: ClassVar[Needs] = "clean"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def compare(self, one: IntArray, two: IntArray, k: int) -> FloatArray:
        """Returns the similarity of two lists per user, float64 [users] in [0, 1].

        Raises:
            TypeError: if the subclass does not define this method.
        """
        raise TypeError(f"{type(self).__name__} has no compare()")

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """Returns the values of all users, float64 [users] in [0, 1].

        Identical lists have the value 1.
        """
        if outcome.clean is None:
            return np.full(outcome.n_users, np.nan)
        one, two = outcome.top[:, :k], outcome.clean.top[:, :k]
        # Identical lists get exactly 1, even if both are empty and the ratio is 0 / 0.
        return np.where((one == two).all(1), 1.0, self.compare(one, two, k))


class Rbo(StabilityMetric):
    """RBO@k: rank-biased overlap with the persistence p = 0.9, cut at k.

    The overlap is divided by its maximum, which is 1 − pᵏ for lists of k items. The metric is eq. 4 of Webber et al.
    (TOIS 2010). Without the division, two identical lists of finite length would not reach 1.
    """

    def compare(self, one: IntArray, two: IntArray, k: int) -> FloatArray:
        """Returns Σ_d p^(d−1) · overlap_d / d, divided by its maximum.

        Here overlap_d is the number of common items among the first d items, and p is 0.9. The maximum is the same sum
        for identical lists.
        """
        weight = PERSISTENCE ** np.arange(k) / np.arange(1, k + 1)
        most = overlaps(one, one, k)
        result: FloatArray = (overlaps(one, two, k) @ weight) / np.maximum(most @ weight, np.finfo(float).tiny)
        return result


class Jaccard(StabilityMetric):
    """Jaccard@k: the share of common items in the union of two top k lists."""

    def compare(self, one: IntArray, two: IntArray, k: int) -> FloatArray:
        """Returns the intersection over the union."""
        both = overlaps(one, two, k)[:, -1]
        size = (one[:, :k] >= 0).sum(1) + (two[:, :k] >= 0).sum(1)
        result: FloatArray = both / np.maximum(size - both, 1)
        return result
