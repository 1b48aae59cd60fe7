"""Computes intervals, tests and rank ranges for every table.

Seeds and units are both random samples. A unit is a user or a target item. ``docs/reference/statistics.md`` explains
the formulas, and ``tools/perf/null_worlds.py`` checks them by simulation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np

from robench.api.data import FloatArray

LEVEL = 0.05  # the error rate of all tests, so intervals are 95% intervals
MOST_SEEDS = 100  # the largest number of seeds that ``seeds_to_decide`` tries
MOST_UNITS = 100_000  # the largest number of units that ``units_to_decide`` tries
# Metrics take few values, so the means of all seeds may be equal by chance. The mean square of the seeds is at least
# this share of the residual mean square. Without this bound, such a tie would look like certainty.
LEAST_SPREAD = 0.01


class Interval(NamedTuple):
    """A mean and its 95% interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """The mean of values over S seeds and U units, with the parts of its variance.

    Args:
        mean: the mean.
        seeds: the number S of seeds.
        units: the number U of units.
        by_seeds: the part of the variance that shrinks with more seeds. It contains ``by_both``.
        by_units: the part of the variance that shrinks only with more units.
        by_both: the part of the variance that shrinks with more seeds and with more units.
    """

    mean: float
    seeds: int
    units: int
    by_seeds: float
    by_units: float
    by_both: float

    @property
    def variance(self) -> float:
        """The estimated variance of the mean."""
        return self.by_seeds + self.by_units

    def compute_p(self) -> float:
        """Returns the p-value of the two-sided test that the mean is 0.

        The p-value is 1 if the mean is exactly 0 or NaN.
        """
        if self.mean == 0:
            return 1.0
        return 1.0 if math.isnan(self.mean) else 2 * self._tail(abs(self.mean))

    def interval(self, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Interval:
        """Returns the 95% interval of the mean.

        The interval contains 0 if and only if ``compute_p`` is at least 5%.

        Args:
            bounds: the bounds of the metric, at which the interval is cut. No test uses these bounds.
        """
        if math.isnan(self.mean):
            return Interval(math.nan, math.nan, math.nan)
        half = self._half_width()
        return Interval(self.mean, max(self.mean - half, bounds[0]), min(self.mean + half, bounds[1]))

    def seeds_to_decide(self, level: float = LEVEL) -> int | None:
        """Returns the smallest number of seeds that would make this mean significant.

        The result is at least the current number. It is None if 100 seeds would not be enough.

        Args:
            level: the level of the test.
        """
        return self._least(self._with_seeds, max(self.seeds, 2), MOST_SEEDS, level)

    def units_to_decide(self, level: float = LEVEL) -> int | None:
        """Returns the smallest number of units that would make this mean significant.

        The result is at least the current number. It is None if 100,000 units would not be enough.

        Args:
            level: the level of the test.
        """
        return self._least(self._with_units, max(self.units, 2), MOST_UNITS, level)

    def _least(self, grown: Callable[[int], Estimate], low: int, high: int, level: float) -> int | None:
        """Returns the smallest sample size with a p-value below ``level``, or None.

        Args:
            grown: a function that returns the estimate for a sample size.
            low: the smallest size to try.
            high: the largest size to try.
            level: the level of the test.
        """
        if grown(high).compute_p() >= level:
            return None
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if grown(middle).compute_p() < level else (middle + 1, high)
        return low

    def _with_seeds(self, seeds: int) -> Estimate:
        share = self.seeds / seeds
        return Estimate(self.mean, seeds, self.units, self.by_seeds * share, self.by_units, self.by_both * share)

    def _with_units(self, units: int) -> Estimate:
        share = self.units / units
        by_seeds = self.by_seeds - self.by_both * (1 - share)
        return Estimate(self.mean, self.seeds, units, by_seeds, self.by_units * share, self.by_both * share)

    def _tail(self, distance: float) -> float:
        """Returns the probability that the estimate exceeds the true mean by a distance.

        The result is a weighted mean of two tails of Student's t. The first tail has S − 1 degrees of freedom, and the
        second has U − 1. The weight of the first tail is w^g, where w is the share of the variance that comes from the
        seeds. The exponent g is 2ν / (ν + 2) for ν = S − 1. With one seed, only the second tail is used.
        """
        from scipy.special import stdtr  # noqa: PLC0415  # a slow import

        if self.variance == 0:
            return 0.0
        t, degrees = -distance / math.sqrt(self.variance), self.seeds - 1
        if degrees == 0:
            return float(stdtr(self.units - 1, t)) if self.units > 1 else 0.5
        weight = float((self.by_seeds / self.variance) ** (2 * degrees / (degrees + 2)))
        by_units = (1 - weight) * float(stdtr(self.units - 1, t)) if weight < 1 else 0.0
        return weight * float(stdtr(degrees, t)) + by_units

    def _half_width(self) -> float:
        """Returns the half-width of the 95% interval, or infinity for a single value."""
        if self.seeds == 1 and self.units == 1:
            return math.inf
        degrees = [size - 1 for size in (self.seeds, self.units) if size > 1]
        low, high = (math.sqrt(self.variance) * compute_t_quantile(pick(degrees)) for pick in (max, min))
        while low < high:
            middle = (low + high) / 2
            if not low < middle < high:
                break
            low, high = (middle, high) if 2 * self._tail(middle) >= LEVEL else (low, middle)
        return high


@cache
def compute_t_quantile(degrees: int) -> float:
    """Returns the 97.5% quantile of Student's t with the given degrees of freedom."""
    from scipy.special import stdtrit  # noqa: PLC0415  # a slow import

    return float(stdtrit(degrees, 1 - LEVEL / 2))


def estimate_mean(values: FloatArray) -> Estimate:
    """Returns the mean over seeds and units with its variance.

    The variance comes from a two-way analysis of variance with random effects of seeds and units. The model is
    value(s, u) = μ + S_s + U_u + E_su. Here μ is the true mean, S_s is the effect of seed s, U_u is the effect of unit
    u, and E_su is the rest. With one seed, the variance comes from the units alone. With one unit, it comes from the
    seeds alone. Units with an undefined value (NaN) in some seed are left out. Without units, the mean is NaN.

    Args:
        values: the value of each seed and unit, float64 [seeds, units].
    """
    values = values[:, ~np.isnan(values).any(0)]
    seeds, units = values.shape
    if units == 0:
        return Estimate(math.nan, seeds, 0, 0.0, 0.0, 0.0)
    by_unit, by_seed = values.mean(0), values.mean(1)
    mean = float(by_unit.mean())
    if seeds == 1:
        return Estimate(mean, 1, units, 0.0, _variance(by_unit) / units if units > 1 else math.inf, 0.0)
    if units == 1:
        return Estimate(mean, seeds, 1, _variance(by_seed) / seeds, 0.0, 0.0)
    rest = values - by_unit - (by_seed - mean)[:, None]
    error = float(np.square(rest).sum()) / ((seeds - 1) * (units - 1))
    of_seeds = max(units * _variance(by_seed), LEAST_SPREAD * error)
    of_units = max(seeds * _variance(by_unit) - error, 0.0)
    size = seeds * units
    return Estimate(mean, seeds, units, of_seeds / size, of_units / size, min(error, of_seeds) / size)


def _variance(values: FloatArray) -> float:
    return float(values.var(ddof=1))


def compute_interval(values: FloatArray, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Interval:
    """Returns the mean over seeds and units with its 95% interval.

    Args:
        values: the value of each seed and unit, float64 [seeds, units]. See ``estimate_mean``.
        bounds: the bounds of the metric, at which the interval is cut. Without them, an interval over few seeds could
            reach impossible values, such as a negative NDCG.
    """
    return estimate_mean(values).interval(bounds)


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
    """Returns each row's rank, and the best and the worst rank that the data allow.

    The order of two rows is open unless their p-value is below 5%. The ranges hold for all rows at once, because
    Holm's method adjusts the p-values of all pairs of rows. With one seed, every order is open.

    Args:
        rows: the values of each row, float64 [seeds, units], over the same seeds and units.
        higher_is_better: whether a higher value gives a better rank.
    """
    sign = 1.0 if higher_is_better else -1.0
    means = [sign * estimate_mean(row).mean for row in rows]
    order = sorted(range(len(rows)), key=lambda i: (-means[i], i))
    better, worse = [0] * len(rows), [0] * len(rows)
    pairs = list(combinations(range(len(rows)), 2)) if rows and len(rows[0]) > 1 else []
    gaps = [estimate_mean(sign * (rows[j] - rows[i])) for i, j in pairs]
    for (i, j), gap, p in zip(pairs, gaps, adjust_p_values([gap.compute_p() for gap in gaps]), strict=True):
        if p < LEVEL:
            winner, loser = (j, i) if gap.mean > 0 else (i, j)
            better[loser] += 1
            worse[winner] += 1
    ranks = {index: rank for rank, index in enumerate(order, 1)}
    return [(ranks[i], 1 + better[i], len(rows) - worse[i]) for i in range(len(rows))]
