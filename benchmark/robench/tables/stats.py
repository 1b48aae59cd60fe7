"""Computes intervals, paired tests and rank ranges for every table.

Seeds are fixed, so equal values give equal bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from robench.api.data import FloatArray, IntArray

RESAMPLES = 2_000
FLIPS = 10_000
MOST_USERS = 20_000  # beyond this the bootstrap of a mean is its normal limit, to three digits
BLOCK = 1 << 22  # draws held at once: 32 MiB, however many users


class Interval(NamedTuple):
    """A mean and its 95% interval."""

    mean: float
    low: float
    high: float


def _blocks(rows: int, n: int) -> Iterator[int]:
    """Yields the sizes of blocks that make up ``rows``.

    A block has at most BLOCK draws, but at least one row.
    """
    size = max(1, BLOCK // n)
    for start in range(0, rows, size):
        yield min(size, rows - start)


def _resamples(n: int) -> Iterator[IntArray]:
    """Yields drawn users, int64 [rows, n], in blocks of at most BLOCK draws."""
    generator = np.random.default_rng(0)
    for size in _blocks(RESAMPLES, n):
        yield generator.integers(0, n, (size, n))


@lru_cache(maxsize=2)
def _cached_resamples(n: int) -> tuple[IntArray, ...]:
    """Returns ``_resamples``, drawn once.

    A table needs them hundreds of times, and drawing takes half of the time.
    """
    return tuple(_resamples(n))


def bootstrap_mean(values: FloatArray) -> tuple[float, float]:
    """Returns the 95% percentile interval of the mean over users.

    Args:
        values: float64 [U], no NaN.
    """
    if len(values) < 2:
        return -math.inf, math.inf
    if len(values) > MOST_USERS:
        half = 1.959964 * float(values.std(ddof=1)) / math.sqrt(len(values))
        return float(values.mean()) - half, float(values.mean()) + half
    n = len(values)
    means = [
        values.take(draws).mean(1) for draws in (_cached_resamples(n) if RESAMPLES * n <= BLOCK else _resamples(n))
    ]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)


@cache
def compute_t_quantile(degrees: int) -> float:
    """Returns the 97.5% quantile of Student's t."""
    from scipy.stats import t  # noqa: PLC0415  # scipy.stats takes a second to import

    return float(t.ppf(0.975, degrees))


def compute_interval(values: FloatArray, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Interval:
    """Returns the mean over users and seeds, with the wider of two 95% intervals.

    One is the bootstrap over users, the other (from two seeds) Student's t over the means of the seeds. Users for whom
    the value is not defined (NaN) in some seed are left out.

    Args:
        values: float64 [S, U].
        bounds: the bounds of the metric. Student's t knows none, so with few seeds it reaches values that no mean can
            have, such as a negative NDCG. The interval is cut there. No test uses these bounds.
    """
    values = values[:, ~np.isnan(values).any(0)]
    if values.shape[1] == 0:
        return Interval(math.nan, math.nan, math.nan)
    mean = float(values.mean(0).mean())
    low, high = bootstrap_mean(values.mean(0))
    if len(values) > 1:
        half = compute_t_quantile(len(values) - 1) * float(values.mean(1).std(ddof=1)) / math.sqrt(len(values))
        if 2 * half > high - low:
            low, high = mean - half, mean + half
    return Interval(mean, max(low, bounds[0]), min(high, bounds[1]))


def compute_paired_p(differences: FloatArray) -> float:
    """Returns p of the two-sided sign-flip permutation test (Fisher 1935).

    The hypothesis is that the mean paired difference is 0.

    Up to 12 non-zero differences every pattern of flips counts, otherwise 10,000 random ones with the usual +1.

    Args:
        differences: float64 [U].
    """
    differences = differences[~np.isnan(differences) & (differences != 0)]
    n = len(differences)
    if n == 0:
        return 1.0
    scaled = differences.astype(np.float64) / np.abs(differences).max()
    # Metrics take few values, so many patterns tie with the observed sum: rounding must not count them as smaller.
    observed = abs(scaled.sum()) - 1e-12 * float(np.abs(scaled).sum())
    if n <= 12:
        patterns = ((np.arange(2**n)[:, None] >> np.arange(n)) & 1) * 2 - 1
        return float((np.abs(patterns @ scaled) >= observed).mean())
    if n > MOST_USERS:
        z = scaled.sum() / math.sqrt(float(np.square(scaled).sum()))
        return math.erfc(abs(z) / math.sqrt(2))
    generator, total, beyond = np.random.default_rng(1), float(scaled.sum()), 0
    for size in _blocks(FLIPS, n):
        flipped = generator.integers(0, 2, (size, n), dtype=np.int8) @ scaled  # total − 2 · flipped: the flipped sum
        beyond += int((np.abs(total - 2 * flipped) >= observed).sum())
    return (1 + beyond) / (1 + FLIPS)


def adjust_p_values(values: Sequence[float]) -> list[float]:
    """Returns Holm's step-down adjustment (1979), in the given order.

    The adjusted p-values hold together.
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    adjusted, floor = [1.0] * len(values), 0.0
    for place, index in enumerate(order):
        floor = max(floor, min(1.0, (len(values) - place) * values[index]))
        adjusted[index] = floor
    return adjusted


def compute_rank_ranges(rows: Sequence[FloatArray], *, higher_is_better: bool) -> list[tuple[int, int, int]]:
    """Returns (rank, best, worst) of each row.

    Two rows share a range of ranks if the paired 95% interval of their difference contains 0.

    Args:
        rows: float64 [S, U] each, over the same users and seeds.
        higher_is_better: whether a higher value has a better rank.
    """
    sign = 1.0 if higher_is_better else -1.0
    means = [sign * compute_interval(row).mean for row in rows]
    order = sorted(range(len(rows)), key=lambda i: (-means[i], i))
    result = []
    for i, row in enumerate(rows):
        better = worse = 0
        for j, other in enumerate(rows):
            if i == j:
                continue
            seeds = min(len(row), len(other))
            gap = compute_interval(sign * (other[:seeds] - row[:seeds]))
            better += gap.low > 0
            worse += gap.high < 0
        result.append((order.index(i) + 1, 1 + better, len(rows) - worse))
    return result
