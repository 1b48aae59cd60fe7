"""Converts scores to calibrated probabilities that users like items.

The module also draws a negative for each held-out item. The calibration is fitted to validation items.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robench.api.data import FloatArray, IntArray, Interactions, TrainData, joined
from robench.api.errors import DataError, PluginError
from robench.api.metric import probability
from robench.api.models.base import Model
from robench.api.models.pairwise import sample_negatives
from robench.api.rng import Rng
from robench.engine.attack.draws import Draws
from robench.engine.fit.validation import validation_users
from robench.engine.rank.chunk import NOT_FINITE, build_chunk, chunk_size, split_users
from robench.engine.rank.ranking import pair_scores
from robench.engine.rank.scoring import device_of

STEPS = 100  # the largest number of steps of Newton's method
TOLERANCE = 1e-10  # the largest gradient per item at which Newton's method stops


class Calibration(NamedTuple):
    """The mapping from a score s to the probability of a like, p = σ(a·s + b).

    Here σ is the logistic function.

    Args:
        a: the slope.
        b: the intercept.
        pairs: the number of validation items in the fit. Most of them are paired with a negative.
    """

    a: float
    b: float
    pairs: int

    def diagnostics(self) -> dict[str, float]:
        """Returns the numbers about the calibration that the record stores, by name.

        The entry ``calibration_inverted`` is present only if the slope is not positive. A higher score then does not
        mean a higher probability.
        """
        inverted = {} if self.a > 0 else {"calibration_inverted": 1.0}
        return {"calibration_a": self.a, "calibration_b": self.b, "calibration_pairs": float(self.pairs)} | inverted


def draw_negatives(role: str, positives: Interactions, known: Interactions) -> IntArray:
    """Draws one unseen negative per item, with no negative twice for the same user.

    The draws are uniform and depend only on the role and the data. Therefore, every model, defence and seed gets the
    same negatives.

    Args:
        role: the name of the random stream.
        positives: the n items that need a negative. These items count as seen.
        known: other items that each user has seen.

    Returns:
        The negatives, int64 [n]. An entry is −1 if the user has no unseen item left.
    """
    known_items, n_items = joined(known, positives), positives.n_items
    users = positives.users()
    place = np.arange(len(users)) - positives.indptr[users]
    unseen = n_items - np.bincount(np.unique(known_items.keys) // n_items, minlength=positives.n_users)
    negatives = np.full(len(users), -1, dtype=np.int64)
    open_places = possible = np.flatnonzero(place < unseen[users])
    generator = Rng(0).child("negatives", role).numpy()
    while len(open_places):
        negatives[open_places] = sample_negatives(users[open_places], known_items, generator)
        _, first = np.unique(users[possible] * n_items + negatives[possible], return_index=True)
        open_places = np.setdiff1d(possible, possible[first])
    return negatives


def draw_test_negatives(history: Interactions, held: Interactions) -> IntArray:
    """Draws one negative per held-out item, int64 [n].

    An entry is −1 if the user has no unseen item left.

    Args:
        history: the items that are known at test time, one row per real user.
        held: the held-out items, one row per real user.
    """
    return draw_negatives("test", held, history)


def calibrate(model: Model, data: TrainData, draws: Draws) -> Calibration:
    """Fits the calibration of a victim to validation items and their negatives.

    A negative is an item outside the user's history and validation items. A test item may be drawn as a negative,
    because the function does not get the test items. A test item cannot influence the calibration in any other way.

    Args:
        model: the fitted model.
        data: the data of the real users.
        draws: the random streams of the victim. If the victim draws random numbers at test time, scores are means over
            all scorings by the host.

    Raises:
        DataError: if no user has both a history and validation items.
        PluginError: if a score is not finite.
    """
    real, users = validation_users(data)
    if not len(users):
        raise DataError("no user has a validation item, on which likes and dislikes could be calibrated")
    negatives = draw_negatives("validation", data.validation, real)
    scores, labels = [], []
    for some in split_users(users, chunk_size(data.n_items, device_of(model))):
        chunk = build_chunk(some, real, data.validation, negatives)
        assert chunk.negatives is not None  # the chunk was built with negatives
        held, paired = chunk.held.numpy(), chunk.negatives.numpy()
        pairs = []
        for context in draws.host():
            with context:
                pairs.append(pair_scores(model.scores(some, real), held, paired).astype(np.float64))
        valid = np.stack([held, paired]) >= 0
        scores.append(np.mean(pairs, axis=0)[valid])
        labels.append(np.broadcast_to(np.array([True, False])[:, None, None], valid.shape)[valid])
    all_scores, liked = np.concatenate(scores), np.concatenate(labels)
    if not np.isfinite(all_scores).all():
        raise PluginError(NOT_FINITE)
    return Calibration(*fit_platt(all_scores, liked), int(liked.sum()))


def fit_platt(scores: FloatArray, liked: NDArray[np.bool_]) -> tuple[float, float]:
    """Fits a and b by maximum likelihood (Platt, 1999), and returns both.

    A user likes an item of score s with probability σ(a·s + b), where σ is the logistic function. The function runs
    Newton's method on the cross-entropy. Platt's targets (N₊ + 1)/(N₊ + 2) and 1/(N₋ + 2) replace the labels 1 and 0.
    Here N₊ is the number of liked items, and N₋ is the number of other items. These targets keep a and b finite even if
    the scores separate the classes. If all scores are equal, a = 0.

    Args:
        scores: the score s of each item, float64 [n].
        liked: whether each item is liked, bool [n].
    """
    positives = int(liked.sum())
    others = len(liked) - positives
    target = np.where(liked, (positives + 1) / (positives + 2), 1 / (others + 2))
    if scores.min() == scores.max():
        # Here σ(b) is the mean target. Integer arithmetic gives exactly b = 0 if both classes are equally large.
        odds = positives * (positives + 1) * (others + 2) + others * (positives + 2)
        return 0.0, math.log(odds / (positives * (others + 2) + others * (others + 1) * (positives + 2)))
    mean, scale = float(scores.mean()), float(scores.std())
    x = np.stack([(scores - mean) / scale, np.ones(len(scores))], axis=1)
    weights = np.array([0.0, np.log((positives + 1) / (others + 1))])

    def loss(w: FloatArray) -> float:
        logit = x @ w
        return float((np.logaddexp(0, logit) - target * logit).sum())

    for _ in range(STEPS):
        p = probability(x @ weights)
        gradient = x.T @ (p - target)
        if np.abs(gradient).max() <= TOLERANCE * len(x):
            break
        curvature = (x.T * (p * (1 - p))) @ x + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        size, value = 1.0, loss(weights)
        while size > TOLERANCE and loss(weights - size * step) > value - 1e-4 * size * float(gradient @ step):
            size /= 2
        weights = weights - size * step
    a = float(weights[0]) / scale
    return a, float(weights[1]) - a * mean
