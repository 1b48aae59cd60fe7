"""The base class of the defences that detect fake users."""

from __future__ import annotations

from abc import abstractmethod
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robench.api import BaseConfig, Cleaned, Defense, FloatArray, Interactions, Rng
from robench.api.component import LATER
from robench_plugins.models.sparse_matrix import without_repeats

BoolArray = NDArray[np.bool_]
# The standard deviation of normal numbers, divided by their median and by their mean absolute deviation from the median
PER_MEDIAN_DEVIATION, PER_MEAN_DEVIATION = 1.4826, 1.2533


class DetectorConfig(BaseConfig):
    """Settings of every detector."""

    quantile: float = Field(
        default=0.995,
        gt=0.5,
        lt=1,
        description="Quantile of the scores of real users, as estimated from all scores; users above it are dropped",
    )
    action: Literal["drop", "weigh"] = Field(
        default="drop",
        description="Whether suspicious users lose all interactions (drop) or a random part of them (weigh)",
        json_schema_extra=LATER,
    )


class Detector(Defense):
    """Scores the suspicion of every user and empties the rows of suspicious users.

    A detector does not know how many users are fake, or whether there are any. It drops the users whose score is above
    a quantile of the scores of real users, which the setting ``quantile`` chooses. The detector does not know these
    scores either. So the quantile is estimated by that of a normal distribution. The mean of this distribution is the
    median m of all scores s, and its standard deviation is 1.4826 · median(|s − m|), as in the modified z-score of
    Iglewicz & Hoaglin (1993). Fake users can move this estimate only by a limited amount if they are fewer than half of
    the users. On clean data with normal scores, a detector drops half a percent of the users by default.

    With ``action: weigh``, suspicious users are not dropped but get less weight. A weight in the loss would need a term
    per user, which only some models have. Neighbour models count interactions, and LightGCN also reads them from its
    graph. So the weight is the probability with which each interaction of the user is kept. This acts on every model in
    the same way, and a sum over interactions has the weighted sum as its mean. The weight of a user with the score s is
    that of Huber (1964): 1 if s is at most the quantile q, and (q − m) / (s − m) above it. So it falls without a jump,
    and a user who is a little above q loses little. The host counts a user as dropped only if no interaction is left.
    """

    Config = DetectorConfig
    config: DetectorConfig

    @abstractmethod
    def scores(self, train: Interactions, rng: Rng) -> FloatArray:
        """Returns the suspicion of each user, float64 [n_users].

        Args:
            train: the distinct items of each user. No row is empty.
            rng: the random stream of the detector.
        """

    def flags(self, scores: FloatArray) -> BoolArray:
        """Returns which users to drop, given their suspicion: bool [n_users]."""
        return scores > estimate_quantile(scores, self.config.quantile)

    def weights(self, scores: FloatArray) -> FloatArray:
        """Returns the weight of each user, float64 [n_users] in [0, 1].

        Args:
            scores: the suspicion of each user, float64 [n_users].

        Weights are 1 for the users that ``flags`` keeps.
        """
        median = float(np.median(scores))
        bound = estimate_quantile(scores, self.config.quantile) - median
        excess = scores - median
        return np.divide(bound, excess, out=np.ones_like(scores), where=excess > bound)

    def suspicion(self, train: Interactions, rng: Rng) -> tuple[FloatArray, BoolArray]:
        """Returns the suspicion of each user, and which users to drop.

        The arrays are float64 [n_users] and bool [n_users]. A user without interactions has the smallest score and is
        not dropped.
        """
        train = without_repeats(train)
        present = train.lengths() > 0
        users = np.flatnonzero(present)
        scores, flags = np.zeros(train.n_users), np.zeros(train.n_users, dtype=bool)
        if len(users):
            rows = Interactions.from_rows([train.row(user) for user in users.tolist()], train.n_items)
            scores[users] = self.scores(rows, rng)
            scores[~present] = scores[users].min()
            flags[users] = self.flags(scores[users])
        return scores, flags

    def sanitise(self, train: Interactions, rng: Rng) -> Cleaned:
        """Returns the data without suspicious interactions, and all scores.

        With ``action: drop``, the rows of suspicious users are emptied. With ``action: weigh``, each interaction is
        kept with the probability that is the weight of its user. If nothing would be left, everything is kept.
        """
        scores, flags = self.suspicion(train, rng)
        if self.config.action == "drop":
            return Cleaned(train if flags.all() else train.without_users(flags), scores)
        weights, present = np.ones(train.n_users), train.lengths() > 0
        weights[present] = self.weights(scores[present])
        kept = rng.child("weigh").numpy().random(len(train)) < weights[train.users()]
        return Cleaned(train.only(kept) if kept.any() else train, scores)


def estimate_quantile(scores: FloatArray, quantile: float) -> float:
    """Returns an estimate of a quantile that a minority of outliers hardly moves.

    The estimate is the quantile of a normal distribution. Its mean is the median m of the scores s, and its standard
    deviation is 1.4826 · median(|s − m|). If this is 0, because more than half of the scores are equal, the standard
    deviation is 1.2533 · mean(|s − m|).

    Args:
        scores: the scores of all users, float64 [n].
        quantile: the quantile, between 0.5 and 1.
    """
    median = float(np.median(scores))
    deviations = np.abs(scores - median)
    spread = PER_MEDIAN_DEVIATION * float(np.median(deviations)) or PER_MEAN_DEVIATION * float(deviations.mean())
    return median + NormalDist().inv_cdf(quantile) * spread
