"""Like or dislike (design A6): the negatives beside held-out items, and a calibration that never sees a test item."""

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
from robench.engine.fit.loop import validation_users
from robench.engine.rank.chunk import NOT_FINITE, build_chunk, chunk_size
from robench.engine.rank.ranking import pair_scores

STEPS, TOLERANCE = 100, 1e-10  # of Newton; of the gradient per pair


class Calibration(NamedTuple):
    """p = σ(a·s + b), fitted to ``pairs`` validation items and as many negatives."""

    a: float
    b: float
    pairs: int

    def diagnostics(self) -> dict[str, float]:
        """For the record; ``calibration_inverted`` is 1 where a higher score does not mean a more likely like."""
        inverted = {} if self.a > 0 else {"calibration_inverted": 1.0}
        return {"calibration_a": self.a, "calibration_b": self.b, "calibration_pairs": float(self.pairs)} | inverted


def negatives_of(role: str, wanted: Interactions, known: Interactions) -> IntArray:
    """An item beside each of ``wanted``, nowhere in the user's rows of either, no two of a user alike: int64 [n].

    Drawn uniformly by the role and the data alone, so they are the same for every model, defence and seed. −1 for what
    is wanted beyond the last item that a user lacks.
    """
    everything, n_items = joined(known, wanted), wanted.n_items
    users = wanted.users()
    place = np.arange(len(users)) - wanted.indptr[users]
    free = n_items - np.bincount(np.unique(everything.keys) // n_items, minlength=wanted.n_users)
    found = np.full(len(users), -1, dtype=np.int64)
    todo = able = np.flatnonzero(place < free[users])
    generator = Rng(0).child("negatives", role).numpy()
    while len(todo):
        found[todo] = sample_negatives(users[todo], everything, generator)
        _, first = np.unique(users[able] * n_items + found[able], return_index=True)
        todo = np.setdiff1d(able, able[first])
    return found


def beside_held_out(history: Interactions, held: Interactions) -> IntArray:
    """The negatives beside the held-out items: int64 [n].

    Args:
        history: training and validation items.
        held: test items.
    """
    return negatives_of("test", held, history)


def calibrate(model: Model, data: TrainData, draws: Draws) -> Calibration:
    """Platt scaling of a fitted victim on its clean scores, given the training items alone.

    Positives are the validation items, negatives as many items with which the user has nothing to do in training or
    validation. No test item is known here, so one may be drawn as a negative: that is what keeps them out.

    Args:
        data: the genuine users'.
        draws: streams where the victim draws at test time; scores are then means over the host's looks.

    Raises:
        DataError: no user has training and validation items.
        PluginError: a score is not finite.
    """
    real, users = validation_users(data)
    if not len(users):
        raise DataError("no user has a validation item, on which likes and dislikes could be calibrated")
    negatives = negatives_of("validation", data.validation, real)
    scores, labels, size = [], [], chunk_size(data.n_items)
    for some in np.split(users, range(size, len(users), size)):
        asked = build_chunk(some, real, data.validation, negatives)
        held, beside = asked.held.numpy(), asked.negatives
        assert beside is not None  # they were given
        looks = []
        for context in draws.host():
            with context:
                looks.append(pair_scores(model.scores(some, real), held, beside.numpy()).astype(np.float64))
        pairs, there = np.mean(looks, axis=0), np.stack([held, beside.numpy()]) >= 0
        scores.append(pairs[there])
        labels.append(np.broadcast_to(np.array([True, False])[:, None, None], there.shape)[there])
    found, liked = np.concatenate(scores), np.concatenate(labels)
    if not np.isfinite(found).all():
        raise PluginError(NOT_FINITE)
    return Calibration(*platt(found, liked), int(liked.sum()))


def platt(scores: FloatArray, liked: NDArray[np.bool_]) -> tuple[float, float]:
    """(a, b) of p = σ(a·s + b) by maximum likelihood (Platt 1999): Newton on the cross-entropy with his targets.

    The targets (N₊ + 1)/(N₊ + 2) and 1/(N₋ + 2) in place of 1 and 0 keep (a, b) finite where the scores separate the
    classes. Scores that are all equal give a = 0.

    Args:
        scores: float64 [n].
        liked: bool [n].
    """
    positives = int(liked.sum())
    others = len(liked) - positives
    target = np.where(liked, (positives + 1) / (positives + 2), 1 / (others + 2))
    if scores.min() == scores.max():
        # σ(b) is the mean target. In whole numbers: with as many positives as others b is 0, and a tie is a tie.
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
