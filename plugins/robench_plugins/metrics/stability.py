"""List stability: how much of a user's list is left, against the same victim's clean cell."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robench.api import FloatArray, IntArray, Metric, Outcome
from robench.api.metric import Needs

PERSISTENCE = 0.9


def overlaps(one: IntArray, two: IntArray, k: int) -> FloatArray:
    """Size of the overlap of two lists at every depth: [U, 10] x [U, 10] -> float64 [U, k]."""
    one, two = one[:, :k], two[:, :k]
    user, first, second = np.nonzero((one[:, :, None] == two[:, None, :]) & (one[:, :, None] >= 0))
    # An item that both hold is in the overlap from the deeper of its two places on.
    begins = np.bincount(user * k + np.maximum(first, second), minlength=len(one) * k)
    result: FloatArray = begins.reshape(len(one), k).cumsum(1).astype(np.float64)
    return result


class StabilityMetric(Metric):
    """Base: NaN everywhere without a clean cell."""

    needs: ClassVar[Needs] = "clean"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def compare(self, one: IntArray, two: IntArray, k: int) -> FloatArray:
        """Similarity of two lists per user."""
        raise TypeError(f"{type(self).__name__} has no compare()")

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """float64 [U] in [0, 1]; 1 for identical lists."""
        if outcome.clean is None:
            return np.full(outcome.n_users, np.nan)
        one, two = outcome.top[:, :k], outcome.clean.top[:, :k]
        # Exactly 1, and also for two empty lists, where the ratios are 0 / 0.
        return np.where((one == two).all(1), 1.0, self.compare(one, two, k))


class Rbo(StabilityMetric):
    """Finite rank-biased overlap (Webber et al., TOIS 2010, eq. 4, cut at k), p = 0.9, over its maximum 1 − pᵏ.

    Without the division two identical lists of finite length would not reach 1.
    """

    def compare(self, one: IntArray, two: IntArray, k: int) -> FloatArray:
        """Σ_d p^(d−1) · overlap_d / d, over the same sum for identical lists."""
        weight = PERSISTENCE ** np.arange(k) / np.arange(1, k + 1)
        most = overlaps(one, one, k)
        result: FloatArray = (overlaps(one, two, k) @ weight) / np.maximum(most @ weight, np.finfo(float).tiny)
        return result


class Jaccard(StabilityMetric):
    """Jaccard@k: items in both top k over items in either."""

    def compare(self, one: IntArray, two: IntArray, k: int) -> FloatArray:
        """Intersection over union."""
        both = overlaps(one, two, k)[:, -1]
        size = (one[:, :k] >= 0).sum(1) + (two[:, :k] >= 0).sum(1)
        result: FloatArray = both / np.maximum(size - both, 1)
        return result
