"""Computes intervals, paired tests and rank ranges for every table.

The seeds are fixed, so equal values give equal results.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import combinations
from typing import NamedTuple

import numpy as np

from robench.api.data import FloatArray, IntArray

RESAMPLES = 2_000
FLIPS = 10_000
MOST_USERS = 20_000  # Beyond this number of users, the bootstrap of a mean equals its normal limit to three digits.
BLOCK = 1 << 22  # the number of draws that are held at once, which take 32 MiB
PIECE = 1 << 18  # the number of values that are gathered at once, which take 2 MiB and fit the processor's cache
SURELY = 1.5  # No bootstrap interval of a mean exceeds this multiple of its normal limit.


class Interval(NamedTuple):
    """A mean and its 95% interval."""

    mean: float
    low: float
    high: float


def _blocks(rows: int, n: int) -> Iterator[int]:
    """Yields the sizes of the blocks into which ``rows`` rows are divided.

    A block has at most BLOCK draws, and at least one row of n draws.
    """
    size = max(1, BLOCK // n)
    for start in range(0, rows, size):
        yield min(size, rows - start)


def _resamples(n: int) -> Iterator[IntArray]:
    """Yields resampled users, int64 [rows, n], in blocks of at most BLOCK draws."""
    generator = np.random.default_rng(0)
    for size in _blocks(RESAMPLES, n):
        yield generator.integers(0, n, (size, n))


@lru_cache(maxsize=2)
def _cached_resamples(n: int) -> tuple[IntArray, ...]:
    """Returns the blocks of ``_resamples``, which are drawn only once.

    A table needs the blocks hundreds of times. Without the cache, the draws would take half of the table's time.
    """
    return tuple(_resamples(n))


def bootstrap_mean(values: FloatArray) -> tuple[float, float]:
    """Returns the bootstrap 95% percentile interval of the mean over users.

    For one user, the interval is unbounded. For more than 20,000 users, the interval is the normal limit.

    Args:
        values: the value of each user, float64 [U], without NaN.
    """
    if len(values) < 2:
        return -math.inf, math.inf
    if not values.any():
        return float(values.mean()), float(values.mean())
    if len(values) > MOST_USERS:
        half = 1.959964 * float(values.std(ddof=1)) / math.sqrt(len(values))
        return float(values.mean()) - half, float(values.mean()) + half
    n = len(values)
    blocks = _cached_resamples(n) if RESAMPLES * n <= BLOCK else _resamples(n)
    means = np.concatenate([_gather_means(values, draws) for draws in blocks])
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _gather_means(values: FloatArray, draws: IntArray) -> FloatArray:
    """Returns the mean of the drawn values of each row, float64 [rows].

    The result equals ``values[draws].mean(1)``, in half the time. The draws are processed in pieces. All pieces use the
    same memory, and each piece is averaged while it is in the processor's cache.

    Args:
        values: the value of each user, float64 [U].
        draws: the drawn users, int64 [rows, U], each below U.
    """
    rows, n = draws.shape
    means, size = np.empty(rows), max(1, PIECE // n)
    piece = np.empty((min(size, rows), n))
    for start in range(0, rows, size):
        some = draws[start : start + size]
        gathered = values.take(some, out=piece[: len(some)], mode="clip")  # mode="raise" would copy the piece again
        gathered.mean(1, out=means[start : start + size])
    return means


@cache
def compute_t_quantile(degrees: int) -> float:
    """Returns the 97.5% quantile of Student's t."""
    from scipy.special import stdtrit  # noqa: PLC0415  # a slow import

    return float(stdtrit(degrees, 0.975))


def compute_interval(values: FloatArray, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Interval:
    """Returns the mean over users and seeds with the wider of two 95% intervals.

    One interval is the bootstrap over users. The other one is Student's t over the means of the seeds, if there are at
    least two seeds. Users with an undefined value (NaN) in some seed are left out.

    Args:
        values: the value of each seed and user, float64 [S, U].
        bounds: the bounds of the metric, at which the interval is cut. Without them, Student's t over few seeds could
            reach impossible values, such as a negative NDCG. No test uses these bounds.
    """
    values = values[:, ~np.isnan(values).any(0)]
    if values.shape[1] == 0:
        return Interval(math.nan, math.nan, math.nan)
    users = values.mean(0)
    mean, half = float(users.mean()), 0.0
    if len(values) > 1:
        half = compute_t_quantile(len(values) - 1) * float(values.mean(1).std(ddof=1)) / math.sqrt(len(values))
    low, high = mean - half, mean + half
    if len(users) < 2 or not half > SURELY * 1.96 * float(users.std()) / math.sqrt(len(users)):
        resampled = bootstrap_mean(users)
        if not 2 * half > resampled[1] - resampled[0]:
            low, high = resampled
    return Interval(mean, max(low, bounds[0]), min(high, bounds[1]))


def compute_paired_p(differences: FloatArray) -> float:
    """Returns the p-value of the two-sided sign-flip permutation test (Fisher 1935).

    The null hypothesis is that the signs of the differences are random. With up to 12 non-zero differences, all
    patterns of flips are counted. With more, 10,000 random patterns are drawn, and 1 is added to the numerator and the
    denominator. Beyond 20,000 differences, the normal limit is used.

    Args:
        differences: the paired difference of each user, float64 [U].
    """
    differences = differences[~np.isnan(differences) & (differences != 0)]
    n = len(differences)
    if n == 0:
        return 1.0
    scaled = differences.astype(np.float64) / np.abs(differences).max()
    # Metrics take few values, so many patterns tie with the observed sum. Rounding must not make ties count as smaller.
    observed = abs(scaled.sum()) - 1e-12 * float(np.abs(scaled).sum())
    if n <= 12:
        patterns = ((np.arange(2**n)[:, None] >> np.arange(n)) & 1) * 2 - 1
        return float((np.abs(patterns @ scaled) >= observed).mean())
    if n > MOST_USERS:
        z = scaled.sum() / math.sqrt(float(np.square(scaled).sum()))
        return math.erfc(abs(z) / math.sqrt(2))
    generator, total, beyond = np.random.default_rng(1), float(scaled.sum()), 0
    for size in _blocks(FLIPS, n):
        flipped = generator.integers(0, 2, (size, n), dtype=np.int8) @ scaled  # The flipped sum is total − 2 · flipped.
        beyond += int((np.abs(total - 2 * flipped) >= observed).sum())
    return (1 + beyond) / (1 + FLIPS)


def adjust_p_values(values: Sequence[float]) -> list[float]:
    """Adjusts p-values by Holm's step-down method (1979).

    The method controls the family-wise error rate. The adjusted p-values are returned in the given order.
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    adjusted, floor = [1.0] * len(values), 0.0
    for place, index in enumerate(order):
        floor = max(floor, min(1.0, (len(values) - place) * values[index]))
        adjusted[index] = floor
    return adjusted


def compute_rank_ranges(rows: Sequence[FloatArray], *, higher_is_better: bool) -> list[tuple[int, int, int]]:
    """Returns the rank of each row, with the best and worst rank that the data allow.

    The order of two rows is open if the paired 95% interval of their difference contains 0.

    Args:
        rows: the values of each row, float64 [S, U], over the same users and seeds.
        higher_is_better: whether a higher value gives a better rank.
    """
    sign = 1.0 if higher_is_better else -1.0
    means = [sign * compute_interval(row).mean for row in rows]
    order = sorted(range(len(rows)), key=lambda i: (-means[i], i))
    better, worse = [0] * len(rows), [0] * len(rows)
    for i, j in combinations(range(len(rows)), 2):
        seeds = min(len(rows[i]), len(rows[j]))
        gap = compute_interval(sign * (rows[j][:seeds] - rows[i][:seeds]))
        winner, loser = (j, i) if gap.low > 0 else (i, j)
        if gap.low > 0 or gap.high < 0:
            better[loser] += 1
            worse[winner] += 1
    ranks = {index: rank for rank, index in enumerate(order, 1)}
    return [(ranks[i], 1 + better[i], len(rows) - worse[i]) for i in range(len(rows))]
