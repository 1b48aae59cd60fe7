"""Compares poisoning with its null control, the effect of retraining alone.

The control comes from clean victims of other seeds.
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
    """An effect with its control.

    Args:
        seeds: the seeds that were compared.
        before: mean clean value.
        after: mean value of the poisoned victims.
        effect: their difference, paired.
        control: the difference that retraining alone would cause.
        verdict: ``rises``, ``falls`` or ``none``; empty without a control.
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
        key: the key of the victims.
        attack_label: the label of the poisoning.
        epsilon: its budget.
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

    Effect: mean over users and seeds of (poisoned − clean twin of the same seed), with the wider of the user bootstrap
    and t over seeds. Control: the interval of the same mean if poisoning did nothing but retrain. The seeds' clean
    means have standard deviation σ, a difference of two means over n seeds has σ·√(2/n), so the control is
    0 ± t(n − 1)·σ·√(2/n). An effect counts only if the two intervals are apart.
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
    """Yields (measure, ``alike``, effect) of the cells of one poisoning."""
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
    """Returns the bounds of a difference: −1 and 1 for a metric from 0 to 1."""
    low, high = results.metric(measure).bounds
    return low - high, high - low


def _effect(
    before: FloatArray, after: FloatArray, effect: Interval, control: Interval, reach: tuple[float, float]
) -> Effect:
    """Returns an effect with its verdict.

    A control that is known is cut at ``reach``. This changes no verdict, because an effect is cut there too.
    """
    if math.isfinite(control.high):
        control = Interval(control.mean, max(control.low, reach[0]), min(control.high, reach[1]))
    means = float(np.nanmean(before)), float(np.nanmean(after))
    return Effect(len(after), *means, effect, control, decide_verdict(effect, control))


def _effect_on_lists(
    results: Results, cells: Sequence[CellRow], clean: Mapping[int, CellRow], measure: Measure
) -> Effect | None:
    """Returns the effect on list stability.

    ``before`` is the similarity of two clean seeds (every pair), ``after`` that of a poisoned victim and its twin, the
    effect their difference. In the control σ is over the pairs. Pairs share seeds, so n is the number of seeds, and two
    seeds, which are one pair, know no σ. Only a fall counts: twins share a seed, so they may well be more alike than
    two seeds are.

    Returns:
        None without two clean seeds.
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
    """Returns (clean, poisoned) values per user and seed, means over target sets."""
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
    """Returns the 95% interval of the mean difference of n retrained clean pairs.

    It is unbounded for one mean.

    Args:
        clean_means: their standard deviation is σ.
        seeds: n, by default the number of means.
    """
    n = len(clean_means) if seeds is None else seeds
    if len(clean_means) < 2:
        return Interval(0.0, -math.inf, math.inf)
    half = compute_t_quantile(n - 1) * float(np.std(clean_means, ddof=1)) * math.sqrt(2 / n)
    return Interval(0.0, -half, half)


def decide_verdict(effect: Interval, control: Interval) -> str:
    """Returns ``rises`` or ``falls`` if the intervals are apart, else ``none``.

    The verdict is empty without a control (one seed, or one pair of seeds for lists).
    """
    if not math.isfinite(control.high):
        return ""
    if effect.low > control.high:
        return "rises"
    return "falls" if effect.high < control.low else "none"
