"""Metrics for the classification of items into likes and dislikes.

The prediction is a calibrated probability that the user likes the item. Every held-out item is a like, and one fixed
negative per held-out item is a dislike.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple

import numpy as np

from robench.api import FloatArray, Metric, Outcome
from robench.api.metric import Needs


class Confusion(NamedTuple):
    """The counts of each user's confusion matrix, float64 [users] each.

    A like is predicted if the probability is above 0.5, so a tie predicts a dislike.
    """

    true_likes: FloatArray
    false_likes: FloatArray
    missed_likes: FloatArray
    true_dislikes: FloatArray


def confusion(outcome: Outcome) -> Confusion:
    """Returns the confusion matrix of every user.

    The outcome must contain likes. A missing negative (NaN) is not counted.
    """
    assert outcome.likes is not None  # The host asks for no value without likes.
    assert outcome.dislikes is not None
    likes, dislikes, present = outcome.likes > 0.5, outcome.dislikes > 0.5, ~np.isnan(outcome.dislikes)
    parts = (likes, dislikes & present, ~likes, ~dislikes & present)
    return Confusion(*(outcome.per_user_sum(part.astype(np.float64)) for part in parts))


class LikeMetric(Metric):
    """The base class of metrics that are a ratio R = Σ part / Σ whole over all users.

    The value of user u is R + (part_u − R · whole_u) / mean whole. This is the linearisation that gives ratio
    estimators their standard errors (Cochran, Sampling Techniques, 1977, section 6.4). The mean of these values over
    users is R. If Σ whole is 0, R is 0.
    """

    needs: ClassVar[Needs] = "likes"
    at_k: ClassVar[bool] = False
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    pooled: ClassVar[bool] = True

    @abstractmethod
    def parts(self, c: Confusion) -> tuple[FloatArray, FloatArray]:
        """Returns the part and the whole of every user, float64 [users] each."""

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """Returns one value per user, float64 [users], or NaN if likes were not measured.

        The mean over users is the ratio, in [0, 1].
        """
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
    """The share of correct predictions among the predictions for likes and dislikes."""

    def parts(self, c: Confusion) -> tuple[FloatArray, FloatArray]:
        """Returns each user's numbers of correct predictions and of all predictions."""
        right = c.true_likes + c.true_dislikes
        return right, right + c.false_likes + c.missed_likes


class LikePrecision(LikeMetric):
    """The share of actual likes among the predicted likes.

    The value is 0 if no like is predicted.
    """

    def parts(self, c: Confusion) -> tuple[FloatArray, FloatArray]:
        """Returns each user's numbers of correct likes and of predicted likes."""
        return c.true_likes, c.true_likes + c.false_likes


class LikeRecall(LikeMetric):
    """The share of predicted likes among the actual likes."""

    def parts(self, c: Confusion) -> tuple[FloatArray, FloatArray]:
        """Returns each user's numbers of correctly predicted and of actual likes."""
        return c.true_likes, c.true_likes + c.missed_likes


class LikeF1(LikeMetric):
    """The harmonic mean of the precision and the recall of likes."""

    def parts(self, c: Confusion) -> tuple[FloatArray, FloatArray]:
        """Returns twice the number of correct likes, and the whole of F1.

        The whole is the number of predicted plus actual likes.
        """
        return 2 * c.true_likes, 2 * c.true_likes + c.false_likes + c.missed_likes
