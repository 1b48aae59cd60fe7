"""Measures how well suspicion scores separate fake users from real ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robench.api.data import FloatArray, IntArray

FLAGGED, NOT_FLAGGED, NO_ITEMS = 1, 0, -1  # the values of the array ``flagged``
ROC_STEPS = 100  # the ROC curve is stored at false alarms of 0, 1/100, ..., 1
Detection = dict[str, float | None]


def measure_detection(suspicion: FloatArray, flagged: NDArray[np.int8], n_real: int) -> Detection:
    """Returns counts of users, and how well a defence separates fake from real users.

    Users without training items are left out, because nothing can be known about them.

    Args:
        suspicion: the suspicion score of each user, float64 [n_users]. The rows of fake users come last.
        flagged: whether the defence dropped the user, int8 [n_users]: 1, 0, or −1 for a user without training items.
        n_real: the number of real users.

    Returns:
        By name, the counts ``real_users``, ``fake_users``, ``flagged_real`` and ``flagged_fakes``, and the values
        ``auroc``, ``average_precision``, ``precision``, ``recall`` and ``false_alarms``. A value is None if it is not
        defined, and ``precision`` also if there are no fake users. ``false_alarms`` is the share of the real users that
        are flagged.
    """
    fake = np.arange(len(flagged)) >= n_real
    judged = flagged != NO_ITEMS
    caught = (flagged == FLAGGED)[judged]
    fake, scores = fake[judged], suspicion[judged]
    fakes, hits, alarms = int(fake.sum()), int((caught & fake).sum()), int((caught & ~fake).sum())
    real = len(fake) - fakes
    return {
        "real_users": real,
        "fake_users": fakes,
        "flagged_real": alarms,
        "flagged_fakes": hits,
        "auroc": compute_auroc(scores, fake),
        "average_precision": compute_average_precision(scores, fake),
        "precision": _share(hits, hits + alarms) if fakes else None,
        "recall": _share(hits, fakes),
        "false_alarms": _share(alarms, real),
    }


def compute_auroc(scores: FloatArray, positive: NDArray[np.bool_]) -> float | None:
    """Returns the area under the ROC curve.

    The area is the probability that a positive has a higher score than a negative. Equal scores count half. The result
    is None if there are no positives or no negatives.
    """
    high, low = scores[positive], np.sort(scores[~positive])
    if not len(high) or not len(low):
        return None
    below, up_to = np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")
    return float((below + up_to).mean() / (2 * len(low)))


def compute_average_precision(scores: FloatArray, positive: NDArray[np.bool_]) -> float | None:
    """Returns the average precision, or None if there are no positives.

    The average precision is Σ (R_n − R_(n−1)) · P_n over the distinct scores from high to low. P_n and R_n are the
    precision and the recall if all users with at least the n-th score are flagged, and R_0 is 0. So users with equal
    scores enter together, and their order does not matter.
    """
    if not positive.any():
        return None
    hits, counts = count_by_threshold(scores, positive)
    steps = np.diff(hits, prepend=0)
    return float((steps * hits / counts).sum() / positive.sum())


def count_by_threshold(scores: FloatArray, positive: NDArray[np.bool_]) -> tuple[IntArray, IntArray]:
    """Returns the numbers of positives and of all users with at least each score.

    Both arrays are int64, with one entry per distinct score, from high to low.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True)) if len(order) else np.empty(0, np.int64)
    return np.cumsum(positive[order])[last].astype(np.int64), (last + 1).astype(np.int64)


def compute_roc(suspicion: FloatArray, flagged: NDArray[np.int8], n_real: int) -> FloatArray | None:
    """Returns the ROC curve of suspicion scores.

    The result is None if no user is fake, or if all users are fake.

    A threshold on the score flags every user with at least this score. The curve joins the points (false alarms,
    recall) of all thresholds by straight lines, from (0, 0) to (1, 1). If it rises vertically, the upper end counts.
    The area under the curve is the ``auroc`` of ``measure_detection``. The trapezoids between the returned values have
    this area up to 1 / (2 · ``ROC_STEPS``), because the curve never falls and rises by 1 in total.

    Args:
        suspicion: the suspicion score of each user, as in ``measure_detection``.
        flagged: as in ``measure_detection``. Users without training items are left out here too.
        n_real: the number of real users.

    Returns:
        The recall at the false alarms 0, 1/``ROC_STEPS``, ..., 1, float64 [``ROC_STEPS`` + 1].
    """
    judged = flagged != NO_ITEMS
    fake, scores = (np.arange(len(flagged)) >= n_real)[judged], suspicion[judged]
    if fake.all() or not fake.any():
        return None
    hits, counts = count_by_threshold(scores, fake)
    recall = np.append(0.0, hits / fake.sum())
    alarms = np.append(0.0, (counts - hits) / (~fake).sum())
    at = np.arange(ROC_STEPS + 1) / ROC_STEPS
    left = np.searchsorted(alarms, at, "right") - 1  # the last threshold with at most these false alarms
    right = np.minimum(left + 1, len(alarms) - 1)
    width = np.where(right > left, alarms[right] - alarms[left], 1)
    curve: FloatArray = recall[left] + (recall[right] - recall[left]) * (at - alarms[left]) / width
    return curve


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
