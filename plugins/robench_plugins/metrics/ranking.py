"""Metrics of the held-out items' ranks (design: masked full ranking, ties never help)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robench.api import FloatArray, IntArray, Metric, Outcome


def held(outcome: Outcome) -> IntArray:
    """Held-out items per user: int64 [U]."""
    return np.diff(outcome.indptr)


def ratio(part: FloatArray, whole: FloatArray | IntArray) -> FloatArray:
    """part / whole, NaN for users without a held-out item."""
    result: FloatArray = np.divide(part, whole, out=np.full(len(part), np.nan), where=np.asarray(whole) > 0)
    return result


class RankMetric(Metric):
    """Base of the metrics of held-out items' ranks, whose means lie in [0, 1]."""

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)


class Ndcg(RankMetric):
    """NDCG@k = Σ 1/log₂(1 + rank) over held-out items with rank ≤ k, over its maximum for min(k, held-out) items.

    Järvelin & Kekäläinen, TOIS 2002, with binary gains.
    """

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """float64 [U] in [0, 1]."""
        gain = np.where(outcome.ranks <= k, 1 / np.log2(1 + outcome.ranks), 0.0)
        ideal = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])
        return ratio(outcome.per_user_sum(gain), ideal[np.minimum(held(outcome), k)])


class Recall(RankMetric):
    """Recall@k = held-out items with rank ≤ k over all held-out items."""

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """float64 [U] in [0, 1]."""
        return ratio(outcome.per_user_sum((outcome.ranks <= k).astype(np.float64)), held(outcome))


class HitRate(RankMetric):
    """HR@k: 1 where any held-out item has rank ≤ k."""

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """float64 [U], 0 or 1."""
        hits = outcome.per_user_sum((outcome.ranks <= k).astype(np.float64))
        return np.where(held(outcome) > 0, (hits > 0).astype(np.float64), np.nan)


class Precision(RankMetric):
    """Precision@k = held-out items with rank ≤ k over k."""

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """float64 [U] in [0, 1]."""
        hits = outcome.per_user_sum((outcome.ranks <= k).astype(np.float64))
        return np.where(held(outcome) > 0, hits / k, np.nan)


class Mrr(RankMetric):
    """MRR@k: 1 / (best rank of a held-out item), 0 beyond k."""

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """float64 [U] in [0, 1]."""
        best = np.full(outcome.n_users, np.inf)
        user = np.repeat(np.arange(outcome.n_users), held(outcome))
        np.minimum.at(best, user, outcome.ranks.astype(np.float64))
        return np.where(held(outcome) > 0, np.where(best <= k, 1 / best, 0.0), np.nan)


class Map(RankMetric):
    """MAP@k: mean over min(k, held-out) of (held-out items down to that rank) / rank, for ranks ≤ k."""

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """float64 [U] in [0, 1]."""
        user = np.repeat(np.arange(outcome.n_users), held(outcome))
        order = np.lexsort((outcome.ranks, user))
        place = np.arange(len(order)) - outcome.indptr[user[order]] + 1
        precision = np.empty(len(order))
        precision[order] = place / outcome.ranks[order]
        return ratio(outcome.per_user_sum(np.where(outcome.ranks <= k, precision, 0.0)), np.minimum(held(outcome), k))
