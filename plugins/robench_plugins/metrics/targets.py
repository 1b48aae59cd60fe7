"""Metrics of target items, averaged over these items.

A user is eligible for a target if the user's data does not contain it.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robench.api import FloatArray, Metric, Outcome
from robench.api.metric import Needs


def averaged_over_targets(values: FloatArray, eligible: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> FloatArray:
    """Averages values over the targets and returns one value per user.

    The mean of the returned values over users is the mean over targets.

    Each target contributes the mean over its eligible users. With U users and T targets, the value of user u is U/T ·
    Σ_t value(t, u) / n_t. Here n_t is the number of eligible users of target t, and the sum covers the targets for
    which u is eligible. Targets without an eligible user do not count in T.

    Args:
        values: the value of every target and user, float64 [targets, users].
        eligible: whether each user is eligible for each target, bool [targets, users].

    Returns:
        The values, float64 [users], or NaN if no target has an eligible user.
    """
    counts = eligible.sum(1)
    used = counts > 0
    if not used.any():
        return np.full(values.shape[1], np.nan)
    share = np.where(eligible[used], values[used], 0.0) / counts[used, None]
    result: FloatArray = share.sum(0) * values.shape[1] / used.sum()
    return result


class TargetMetric(Metric):
    """The base class of metrics of target items.

    Without targets, all values are NaN. Since version 2, users are not eligible for a target that is their held-out
    item.
    """

    version: ClassVar[int] = 2
    needs: ClassVar[Needs] = "targets"
    higher_is_better: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def values(self, outcome: Outcome, ranks: FloatArray, k: int) -> FloatArray:
        """Returns the value of each rank, [targets, users].

        Raises:
            TypeError: if the subclass does not define this method.
        """
        raise TypeError(f"{type(self).__name__} has no values()")

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """Returns one value per user from ``averaged_over_targets``, float64 [users]."""
        if outcome.target_ranks is None:
            return np.full(outcome.n_users, np.nan)
        eligible = outcome.target_ranks > 0
        ranks = np.where(eligible, outcome.target_ranks, 1).astype(np.float64)
        return averaged_over_targets(self.values(outcome, ranks, k), eligible)


class TargetHitRate(TargetMetric):
    """T-HR@k: the share of eligible users with the target in their top k."""

    def values(self, outcome: Outcome, ranks: FloatArray, k: int) -> FloatArray:
        """Returns 1 if rank ≤ k, and 0 otherwise."""
        return (ranks <= k).astype(np.float64)


class TargetNdcg(TargetMetric):
    """T-NDCG@k: 1 / log₂(1 + rank) of the target, or 0 if rank > k."""

    def values(self, outcome: Outcome, ranks: FloatArray, k: int) -> FloatArray:
        """Returns the discounted gain."""
        return np.where(ranks <= k, 1 / np.log2(1 + ranks), 0.0)


class TargetPercentile(TargetMetric):
    """The rank percentile of the targets, 1 − (rank − 1) / (candidates − 1).

    Here ``candidates`` is the number of items that are ranked for the user. The percentile is 1 at the top of the list.
    """

    at_k: ClassVar[bool] = False

    def values(self, outcome: Outcome, ranks: FloatArray, k: int) -> FloatArray:
        """Returns the percentile, in [0, 1]."""
        return 1 - (ranks - 1) / np.maximum(outcome.candidates - 1, 1)
