"""Measures how well a membership attack tells members from non-members."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robench.api.data import FloatArray
from robench.store.detection import compute_auroc

FALSE_ALARMS = 0.01  # the share of non-members that may be called members, for the true positive rate
NORMAL = 1.959963984540054  # the 97.5% quantile of the standard normal distribution
RESAMPLES, RESAMPLES_AT_ONCE = 1000, 20
BoolArray = NDArray[np.bool_]
Membership = dict[str, float | None]


def measure_membership(scores: FloatArray, member: BoolArray) -> Membership:
    """Returns the numbers of one membership attack, by name.

    The names are ``members``, ``non_members``, ``auroc`` and ``tpr``, and the ends of their 95% intervals, such as
    ``auroc_low``. ``tpr`` is the share of the members that the attack finds at 1% false alarms.

    Args:
        scores: the score of each user, float64 [n]. Likelier members have higher scores.
        member: whether each user is a member, bool [n].
    """
    return {"members": int(member.sum()), "non_members": int((~member).sum())} | summarise_membership([scores], member)


def summarise_membership(runs: Sequence[FloatArray], member: BoolArray) -> Membership:
    """Returns the mean AUROC and true positive rate of several seeds, with intervals.

    The variance of the mean AUROC over users is that of DeLong et al. (Biometrics 1988), for the users' mean placements
    over the seeds. The variance over seeds, divided by their number, is added to it. So the interval is rather too wide
    than too narrow. For the true positive rate, members and non-members are drawn again 1,000 times, the threshold with
    them, and the variance over the seeds is added in the same way.

    Args:
        runs: the scores of the same users with each seed, float64 [n] each.
        member: whether each user is a member, bool [n].
    """
    if not member.any() or member.all():
        return dict.fromkeys(("auroc", "auroc_low", "auroc_high", "tpr", "tpr_low", "tpr_high"))
    placed = [compute_placements(scores[member], scores[~member]) for scores in runs]
    high, low = (np.mean([part[side] for part in placed], axis=0) for side in (0, 1))
    areas = [compute_auroc(scores, member) or 0.0 for scores in runs]
    variance = _variance(high) / len(high) + _variance(low) / len(low)
    rates = np.array([compute_rate(scores[member], scores[~member]) for scores in runs])
    return _interval("auroc", float(np.mean(areas)), variance + _between(areas)) | _interval(
        "tpr", float(rates.mean()), _rate_variance(runs, member) + _between(rates)
    )


def compute_placements(high: FloatArray, low: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Returns the placement of each member among the non-members, and the reverse.

    The placement of a member is the share of the non-members with a lower score, and that of a non-member is the share
    of the members with a higher score. Equal scores count half. The mean of either is the AUROC.
    """
    return _share_below(high, low), 1 - _share_below(low, high)


def compute_rate(high: FloatArray, low: FloatArray) -> float:
    """Returns the share of the members above the threshold.

    The threshold is the lowest one with at most 1% of the non-members above it.

    Args:
        high: the scores of the members, float64 [m].
        low: the scores of the non-members, float64 [n].
    """
    return float(_rates(high[None], low[None])[0])


def _rates(high: FloatArray, low: FloatArray) -> FloatArray:
    """Returns ``compute_rate`` for each row of [samples, m] and [samples, n]."""
    place = low.shape[1] - 1 - int(FALSE_ALARMS * low.shape[1] + 1e-9)
    thresholds = np.partition(low, place)[:, place, None]
    rates: FloatArray = (high > thresholds).mean(1)
    return rates


def _share_below(values: FloatArray, others: FloatArray) -> FloatArray:
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    shares: FloatArray = below / (2 * len(others))
    return shares


def _variance(values: FloatArray) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else 0.25


def _between(values: Sequence[float] | FloatArray) -> float:
    return float(np.var(values, ddof=1)) / len(values) if len(values) > 1 else 0.0


def _rate_variance(runs: Sequence[FloatArray], member: BoolArray) -> float:
    rng = np.random.Generator(np.random.PCG64(0))
    sides = np.flatnonzero(member), np.flatnonzero(~member)
    rates: list[float] = []
    for _ in range(0, RESAMPLES, RESAMPLES_AT_ONCE):
        drawn = [[rng.choice(side, len(side)) for side in sides] for _ in range(RESAMPLES_AT_ONCE)]
        one, two = (np.stack([part[side] for part in drawn]) for side in (0, 1))
        rates += np.mean([_rates(scores[one], scores[two]) for scores in runs], axis=0).tolist()
    return float(np.var(rates))


def _interval(name: str, value: float, variance: float) -> Membership:
    half = NORMAL * float(np.sqrt(variance))
    return {name: value, f"{name}_low": max(0.0, value - half), f"{name}_high": min(1.0, value + half)}
