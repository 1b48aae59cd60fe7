"""Computes the differences between the rows of two sides.

The statistics are those of the tables: users and seeds are both random samples, and Holm's method adjusts the p-values
of a table. ``docs/reference/statistics.md`` explains them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from robench.api.codec import inline
from robench.api.data import FloatArray
from robench.api.threat import Threat
from robench.tables.stats import Estimate, Interval, adjust_p_values, compute_interval, estimate_mean
from robench.tables.verdicts import write_verdict

SAME = "the same values"


@dataclass(frozen=True)
class Difference:
    """The difference between a row of B and a row of A in one value.

    Args:
        dataset: the label of the data set.
        split: the label of the split.
        threat: the threat model of the table, or None for a clean value.
        epsilon: the largest budget of the table, or None for a clean value.
        metric: the metric.
        value: ``clean``, or the name of the column by which the table compares rows.
        row_a: the row of A.
        row_b: the row of B.
        a: the mean of A on the seeds and units that are compared.
        b: the mean of B on the same seeds and units.
        difference: B minus A.
        difference_low: the lower end of the 95% interval of the difference.
        difference_high: the upper end of the 95% interval of the difference.
        p_value: the p-value of the difference, adjusted by Holm's method. It is None if there is only one pair of fits,
            or if attacks may have been too weak for one of the rows.
        verdict: the verdict on B against A, for example that B gains. It is empty if there is no verdict.
        seeds: the number of pairs of fits.
        units: the number of users or of promoted items.
        note: what a reader must know about this pair.
    """

    dataset: str
    split: str
    threat: Threat | None = field(metadata=inline())
    epsilon: float | None
    metric: str
    value: str
    row_a: str
    row_b: str
    a: float
    b: float
    difference: float
    difference_low: float
    difference_high: float
    p_value: float | None
    verdict: str
    seeds: int
    units: int
    note: str

    @property
    def interval(self) -> Interval:
        """The difference with its interval."""
        return Interval(self.difference, self.difference_low, self.difference_high)


@dataclass(frozen=True, eq=False)
class Pair:
    """The values of two rows on the same seeds and units, before any test.

    Args:
        row_a: the row of A.
        row_b: the row of B.
        a: the values of A, float64 [seeds, units].
        b: the values of B, in the same order, float64 [seeds, units].
        unit: what a unit is called, ``users`` or ``targets``.
        blind: whether attacks may have been too weak for one of the rows. Such a pair has no p-value.
        ranked: whether both rows may have a rank. Otherwise, the pair has no verdict.
        notes: what a reader must know about this pair.
    """

    row_a: str
    row_b: str
    a: FloatArray
    b: FloatArray
    unit: str
    blind: bool
    ranked: bool
    notes: Sequence[str]


@dataclass(frozen=True)
class Family:
    """The properties that all pairs of one table share.

    ``higher_is_better`` says whether a higher value is better for a row. The other fields are as in ``Difference``.
    """

    dataset: str
    split: str
    threat: Threat | None
    epsilon: float | None
    metric: str
    value: str
    higher_is_better: bool


def pair_fits(seeds_a: Sequence[int], seeds_b: Sequence[int]) -> tuple[list[int], list[int], str]:
    """Returns the positions of the fits that are compared, and a note.

    Fits of the same seed are paired. If no seed is common, fits are paired in order. Such fits are independent, so the
    test stays valid, but it does not benefit from what two fits with the same seed share.

    Args:
        seeds_a: the seeds of A.
        seeds_b: the seeds of B.

    Returns:
        The positions in ``seeds_a``, those in ``seeds_b``, and the note, which is empty if all seeds are the same.
    """
    common = [seed for seed in seeds_a if seed in seeds_b]
    if common:
        note = "" if len(common) == len(seeds_a) == len(seeds_b) else f"only the common seeds {_listed(common)} count"
        return [seeds_a.index(seed) for seed in common], [seeds_b.index(seed) for seed in common], note
    count = min(len(seeds_a), len(seeds_b))
    note = f"no common seed: seeds {_listed(seeds_a[:count])} are paired with {_listed(seeds_b[:count])}"
    return list(range(count)), list(range(count)), note


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def build_differences(family: Family, pairs: Sequence[Pair]) -> list[Difference]:
    """Returns the differences of the pairs of one table.

    The p-values are adjusted over all pairs with at least two fits on each side. Blind pairs (see ``Pair``) are
    included, because the number of tests must not depend on outcomes.
    """
    gaps = [estimate_mean(pair.b - pair.a) for pair in pairs]
    tested = [place for place, pair in enumerate(pairs) if len(pair.a) > 1]
    adjusted = dict(zip(tested, adjust_p_values([gaps[place].compute_p() for place in tested]), strict=True))
    return [
        _difference(family, pair, gap, adjusted.get(place), len(tested))
        for place, (pair, gap) in enumerate(zip(pairs, gaps, strict=True))
    ]


def _difference(family: Family, pair: Pair, gap: Estimate, p: float | None, tests: int) -> Difference:
    same = bool(np.array_equal(pair.a, pair.b, equal_nan=True))
    p = None if pair.blind else p
    verdict = SAME if same else ""
    if p is not None and pair.ranked and not same:
        verdict = write_verdict(gap, p, tests, pair.unit, higher_is_better=family.higher_is_better)
    notes = list(pair.notes)
    if len(pair.a) == 1 and not same:
        notes.append("one pair of fits gives no verdict")
    a, b = (compute_interval(values).mean for values in (pair.a, pair.b))
    rest = (family.dataset, family.split, family.threat, family.epsilon, family.metric, family.value)
    texts = (pair.row_a, pair.row_b)
    return Difference(
        *rest, *texts, a, b, *gap.interval(), p, verdict, len(pair.a), gap.units, "; ".join(filter(None, notes))
    )
