"""Metrics of promoted items, over real users with the item nowhere in their data: per target, then averaged."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robench.api import FloatArray, Metric, Outcome
from robench.api.metric import Needs


def averaged(values: FloatArray, eligible: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> FloatArray:
    """Per-user values whose mean over users is the mean over targets of each target's mean over its eligible users.

    A user's value is U/T · Σ_t value(t, u) / n_t, n_t the eligible users of target t; targets that nobody lacks are
    left out of T.

    Args:
        values: [T, U].
        eligible: bool [T, U].
    """
    counts = eligible.sum(1)
    used = counts > 0
    if not used.any():
        return np.full(values.shape[1], np.nan)
    share = np.where(eligible[used], values[used], 0.0) / counts[used, None]
    result: FloatArray = share.sum(0) * values.shape[1] / used.sum()
    return result


class TargetMetric(Metric):
    """Base of the target metrics; NaN everywhere without targets.

    Version 2 leaves out users whose held-out item is the target.
    """

    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = "targets"
    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def values(self, outcome: Outcome, ranks: FloatArray, k: int) -> FloatArray:
        """The value of each rank: [T, U] -> [T, U]."""
        raise TypeError(f"{type(self).__name__} has no values()")

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """float64 [U], see ``averaged``."""
        if outcome.target_ranks is None:
            return np.full(outcome.n_users, np.nan)
        eligible = outcome.target_ranks > 0
        ranks = np.where(eligible, outcome.target_ranks, 1).astype(np.float64)
        return averaged(self.values(outcome, ranks, k), eligible)


class TargetHitRate(TargetMetric):
    """T-HR@k: share of eligible users with the target in their top k."""

    def values(self, outcome: Outcome, ranks: FloatArray, k: int) -> FloatArray:
        """1 where rank ≤ k."""
        return (ranks <= k).astype(np.float64)


class TargetNdcg(TargetMetric):
    """T-NDCG@k: 1 / log₂(1 + rank) where rank ≤ k."""

    def values(self, outcome: Outcome, ranks: FloatArray, k: int) -> FloatArray:
        """Discounted gain."""
        return np.where(ranks <= k, 1 / np.log2(1 + ranks), 0.0)


class TargetPercentile(TargetMetric):
    """Mean rank percentile of the targets: 1 − (rank − 1) / (candidates − 1); 1 is the top of the list."""

    at_k: ClassVar[bool] = False

    def values(self, outcome: Outcome, ranks: FloatArray, k: int) -> FloatArray:
        """In [0, 1]."""
        return 1 - (ranks - 1) / np.maximum(outcome.candidates - 1, 1)
