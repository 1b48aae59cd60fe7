"""Metrics that depend on the ranks of held-out items.

The host ranks the full catalogue with known items masked, and ties never help the held-out item.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robench.api import FloatArray, IntArray, Metric, Outcome


def held_out_counts(outcome: Outcome) -> IntArray:
    """Returns the number of held-out items of every user: int64 [users]."""
    return np.diff(outcome.indptr)


def ratio(part: FloatArray, whole: FloatArray | IntArray) -> FloatArray:
    """Returns part / whole for each user, float64 [users].

    The value is NaN for a user without a held-out item.
    """
    result: FloatArray = np.divide(part, whole, out=np.full(len(part), np.nan), where=np.asarray(whole) > 0)
    return result


class RankMetric(Metric):
    """The base class of metrics that depend on ranks and have values in [0, 1].

    The value of a user without a held-out item is NaN.
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)


class Ndcg(RankMetric):
    """NDCG@k: the discounted gain of held-out items in the top k.

    The gain Σ 1/log₂(1 + rank) is divided by its maximum. The metric is that of Järvelin & Kekäläinen (TOIS 2002), with
    binary gains. The maximum is the sum over the first min(k, number of held-out items) ranks.
    """

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """Returns the values of all users, float64 [users] in [0, 1]."""
        gain = np.where(outcome.ranks <= k, 1 / np.log2(1 + outcome.ranks), 0.0)
        ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
        return ratio(outcome.per_user_sum(gain), ideal[np.minimum(held_out_counts(outcome), k)])


class Recall(RankMetric):
    """Recall@k: the share of held-out items with rank ≤ k."""

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """Returns the values of all users, float64 [users] in [0, 1]."""
        return ratio(outcome.per_user_sum((outcome.ranks <= k).astype(np.float64)), held_out_counts(outcome))


class HitRate(RankMetric):
    """HR@k: 1 if any held-out item has rank ≤ k, else 0."""

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """Returns the values of all users, float64 [users], each 0, 1 or NaN."""
        hits = outcome.per_user_sum((outcome.ranks <= k).astype(np.float64))
        return np.where(held_out_counts(outcome) > 0, (hits > 0).astype(np.float64), np.nan)


class Precision(RankMetric):
    """Precision@k: the number of held-out items with rank ≤ k, divided by k."""

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """Returns the values of all users, float64 [users] in [0, 1]."""
        hits = outcome.per_user_sum((outcome.ranks <= k).astype(np.float64))
        return np.where(held_out_counts(outcome) > 0, hits / k, np.nan)


class Mrr(RankMetric):
    """MRR@k: 1 / (best rank of a held-out item), or 0 if that rank exceeds k."""

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """Returns the values of all users, float64 [users] in [0, 1]."""
        best = np.full(outcome.n_users, np.inf)
        user = np.repeat(np.arange(outcome.n_users), held_out_counts(outcome))
        np.minimum.at(best, user, outcome.ranks.astype(np.float64))
        return np.where(held_out_counts(outcome) > 0, np.where(best <= k, 1 / best, 0.0), np.nan)


class Map(RankMetric):
    """MAP@k: the average precision at the ranks of held-out items in the top k.

    The precision at a rank is the share of held-out items among the items down to this rank. The average is the sum of
    these precisions, divided by min(k, number of held-out items).
    """

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """Returns the values of all users, float64 [users] in [0, 1]."""
        user = np.repeat(np.arange(outcome.n_users), held_out_counts(outcome))
        order = np.lexsort((outcome.ranks, user))
        position = np.arange(len(order)) - outcome.indptr[user[order]] + 1
        precision = np.empty(len(order))
        precision[order] = position / outcome.ranks[order]
        return ratio(
            outcome.per_user_sum(np.where(outcome.ranks <= k, precision, 0.0)), np.minimum(held_out_counts(outcome), k)
        )
