"""Compares poisoning with its null control, the effect of retraining alone.

The control is computed from clean victims of other seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from robench.api.codec import inline
from robench.api.data import FloatArray
from robench.api.metric import Measure
from robench.spec import CellRow, RowKey
from robench.tables.results import Results
from robench.tables.stats import Interval, compute_interval, compute_t_quantile

MEASURES = tuple(map(Measure.parse, ("t-percentile", "t-hr@10", "t-hr@50", "t-ndcg@10", "ndcg@10")))


class Effect(NamedTuple):
    """An effect of poisoning on one measure, with its null control.

    Args:
        seeds: the seeds that were compared.
        before: the mean clean value.
        after: the mean value of the poisoned victims.
        effect: the paired difference between ``after`` and ``before``, with its interval.
        control: the interval of the difference that retraining alone would cause.
        verdict: ``rises``, ``falls`` or ``none``. The string is empty without a control.
    """

    seeds: int
    before: float
    after: float
    effect: Interval
    control: Interval
    verdict: str


@dataclass(frozen=True)
class PoisoningRow:
    """The effect of one poisoning on one measure.

    ``Effect`` explains the fields after ``alike``.

    Args:
        key: the data and the victim, without the seed.
        attack_label: the label of the poisoning.
        epsilon: the budget of the poisoning.
        metric: the metric in which the effect is measured.
        alike: whether the metric measures the similarity of two lists.
    """

    key: RowKey = field(metadata=inline("dataset", "split", "model_label", "defense_label", "lambda", "train_epsilon"))
    attack_label: str
    epsilon: float
    metric: Measure
    alike: bool
    seeds: int
    before: float
    after: float
    effect: Interval
    control: Interval
    verdict: str


def build_poisoning_rows(results: Results) -> list[PoisoningRow]:
    """Returns the effects of attacks at training time, each with its control.

    The effect is the mean over users and seeds of (poisoned − clean twin of the same seed). The interval of the effect
    is the wider one of the bootstrap over users and Student's t over seeds.

    The control is the interval that this mean would have if poisoning had no effect beyond retraining. If the clean
    means of the seeds have standard deviation σ, a difference of two means over n seeds has the standard deviation
    σ·√(2/n). So the control is 0 ± t·σ·√(2/n), where t is the 97.5% quantile of Student's t with n − 1 degrees of
    freedom. An effect counts only if the two intervals do not overlap.
    """
    groups = results.grouped(
        lambda cell: (cell.key, cell.attack_label, cell.epsilon), lambda cell: cell.stage == "train"
    )
    return [
        PoisoningRow(key, label, epsilon, measure, alike, *effect)
        for (key, label, epsilon), cells in groups.items()
        for measure, alike, effect in _effects(results, key, cells)
    ]


def _effects(results: Results, key: RowKey, cells: Sequence[CellRow]) -> Iterator[tuple[Measure, bool, Effect]]:
    """Yields the effects of one poisoning on all measures.

    Each item consists of the measure, the value for ``PoisoningRow.alike``, and the effect.
    """
    clean = {cell.seed: cell for cell in results.clean_cells(key)}
    for measure in (measure for measure in MEASURES if measure in results.plan.metrics):
        pairs = _pairs(results, cells, clean, measure)
        if pairs:
            before, after = (np.stack([pair[i] for pair in pairs]) for i in (0, 1))
            reach = _reach(results, measure)
            control = compute_null_interval([float(np.nanmean(row)) for row in before])
            yield measure, False, _effect(before, after, compute_interval(after - before, reach), control, reach)
    for measure in (measure for measure in results.plan.metrics if results.metric(measure).needs == "clean"):
        effect = _effect_on_lists(results, cells, clean, measure)
        if effect is not None:
            yield measure, True, effect


def _reach(results: Results, measure: Measure) -> tuple[float, float]:
    """Returns the smallest and the largest possible difference between two values.

    For a metric between 0 and 1, these differences are −1 and 1.
    """
    low, high = results.metric(measure).bounds
    return low - high, high - low


def _effect(
    before: FloatArray, after: FloatArray, effect: Interval, control: Interval, reach: tuple[float, float]
) -> Effect:
    """Returns an effect with its verdict.

    A finite control is clipped to ``reach``, the range of possible differences. This changes no verdict, because the
    effect is clipped to the same range.
    """
    if math.isfinite(control.high):
        control = Interval(control.mean, max(control.low, reach[0]), min(control.high, reach[1]))
    means = float(np.nanmean(before)), float(np.nanmean(after))
    return Effect(len(after), *means, effect, control, decide_verdict(effect, control))


def _effect_on_lists(
    results: Results, cells: Sequence[CellRow], clean: Mapping[int, CellRow], measure: Measure
) -> Effect | None:
    """Returns the effect of a poisoning on list stability.

    ``before`` is the mean similarity of the lists of two clean seeds, over all pairs of seeds. ``after`` is the
    similarity of the lists of a poisoned victim and its clean twin. The effect is ``after`` minus ``before``.

    The σ of the control is the standard deviation over the pairs. Pairs share seeds, so n is the number of seeds. Two
    seeds form only one pair, which gives no σ. Only a fall counts, because twins share a seed and may be more similar
    than two seeds.

    Returns:
        The effect, or None if there are fewer than two clean seeds or no poisoned victim with a clean twin.
    """

    def alike(one: CellRow, two: CellRow) -> FloatArray:
        outcome = replace(results.outcome(one), clean=results.outcome(two))
        return results.metric(measure).per_user(outcome, measure.k)

    after = [
        np.mean([alike(cell, clean[seed]) for cell in cells if cell.seed == seed], axis=0)
        for seed in sorted({cell.seed for cell in cells} & set(clean))
    ]
    before = [alike(clean[a], clean[b]) for a, b in combinations(sorted(clean), 2)]
    if not after or not before:
        return None
    reach = _reach(results, measure)
    gap = compute_interval(np.stack(after) - np.mean(before, axis=0), reach)
    control = compute_null_interval([float(np.nanmean(row)) for row in before], len(clean))
    effect = _effect(np.stack(before), np.stack(after), gap, control, reach)
    return effect._replace(verdict="none") if effect.verdict == "rises" else effect


def _pairs(
    results: Results, cells: Sequence[CellRow], clean: Mapping[int, CellRow], measure: Measure
) -> list[tuple[FloatArray, FloatArray]]:
    """Returns the clean and the poisoned values of each seed, float64 [U] each.

    The values are averaged over target sets.
    """
    pairs = []
    for seed in sorted({cell.seed for cell in cells} & set(clean)):
        before, after = [], []
        for cell in (cell for cell in cells if cell.seed == seed):
            one = results.per_user(clean[seed], measure, cell.target_set)
            two = results.per_user(cell, measure)
            if one is not None and two is not None:
                before.append(one)
                after.append(two)
        if before:
            pairs.append((np.mean(before, axis=0), np.mean(after, axis=0)))
    return pairs


def compute_null_interval(clean_means: list[float], seeds: int | None = None) -> Interval:
    """Returns the 95% interval of the mean difference over n retrained clean pairs.

    The interval is unbounded if there are fewer than two clean means.

    Args:
        clean_means: the clean means of the seeds, with standard deviation σ.
        seeds: the number n of pairs. The default is the number of means.
    """
    n = len(clean_means) if seeds is None else seeds
    if len(clean_means) < 2:
        return Interval(0.0, -math.inf, math.inf)
    half = compute_t_quantile(n - 1) * float(np.std(clean_means, ddof=1)) * math.sqrt(2 / n)
    return Interval(0.0, -half, half)


def decide_verdict(effect: Interval, control: Interval) -> str:
    """Returns ``rises`` or ``falls`` if the intervals do not overlap, else ``none``.

    The verdict is empty if the control is unbounded: with one seed or, for list stability, with two seeds.
    """
    if not math.isfinite(control.high):
        return ""
    if effect.low > control.high:
        return "rises"
    return "falls" if effect.high < control.low else "none"
