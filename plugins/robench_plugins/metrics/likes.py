"""Like or dislike: each held-out item against a fixed negative, by the calibrated probability p."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np

from robench.api import FloatArray, Metric, Outcome
from robench.api.metric import Needs


class Confusion(NamedTuple):
    """Counts per user, float64 [U] each: a like is predicted where p > 0.5, so a tie is none."""

    true_likes: FloatArray
    false_likes: FloatArray
    missed_likes: FloatArray
    true_dislikes: FloatArray


def confusion(outcome: Outcome) -> Confusion:
    """Counts of an outcome whose likes were measured; a negative that is missing (NaN) counts nowhere."""
    assert outcome.likes is not None  # the host asks for no value without them
    assert outcome.dislikes is not None
    likes, dislikes, there = outcome.likes > 0.5, outcome.dislikes > 0.5, ~np.isnan(outcome.dislikes)
    parts = (likes, dislikes & there, ~likes, ~dislikes & there)
    return Confusion(*(outcome.per_user_sum(part.astype(np.float64)) for part in parts))


class LikeMetric(Metric):
    """Base: Σ part over Σ whole, over all pairs of all users.

    The value of user u is R + (part_u − R · whole_u) / mean whole, R being the ratio: the linearisation by which ratio
    estimators get their standard errors (Cochran, Sampling Techniques, 1977, section 6.4). Its mean is R. Where
    nothing is counted below, R is 0.
    """

    needs: ClassVar[Needs] = "likes"
    at_k: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    pooled: ClassVar[bool] = True

    @abstractmethod
    def parts(self, c: Confusion) -> tuple[FloatArray, FloatArray]:
        """(part, whole) per user, float64 [U] each."""

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """float64 [U], whose mean is the ratio in [0, 1]; NaN everywhere where likes were not measured."""
        if outcome.likes is None or outcome.dislikes is None:
            return np.full(outcome.n_users, np.nan)
        part, whole = self.parts(confusion(outcome))
        total = float(whole.sum())
        if not total:
            return np.zeros(outcome.n_users)
        ratio = float(part.sum()) / total
        result: FloatArray = ratio + (part - ratio * whole) * (outcome.n_users / total)
        return result


class Accuracy(LikeMetric):
    """(TP + TN) / (TP + TN + FP + FN)."""

    def parts(self, c: Confusion) -> tuple[FloatArray, FloatArray]:
        """Right predictions of all."""
        right = c.true_likes + c.true_dislikes
        return right, right + c.false_likes + c.missed_likes


class LikePrecision(LikeMetric):
    """TP / (TP + FP); 0 where no like is predicted."""

    def parts(self, c: Confusion) -> tuple[FloatArray, FloatArray]:
        """Right likes of the predicted ones."""
        return c.true_likes, c.true_likes + c.false_likes


class LikeRecall(LikeMetric):
    """TP / (TP + FN)."""

    def parts(self, c: Confusion) -> tuple[FloatArray, FloatArray]:
        """Right likes of the actual ones."""
        return c.true_likes, c.true_likes + c.missed_likes


class LikeF1(LikeMetric):
    """2 · precision · recall / (precision + recall) = 2 TP / (2 TP + FP + FN)."""

    def parts(self, c: Confusion) -> tuple[FloatArray, FloatArray]:
        """Twice the right likes of the predicted and the actual ones."""
        return 2 * c.true_likes, 2 * c.true_likes + c.false_likes + c.missed_likes
