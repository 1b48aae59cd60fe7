"""Compares poisoning with its null control, the effect of retraining alone.

The control is computed from clean victims of several seeds.
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
from robench.tables.stats import LEVEL, Estimate, Interval, compute_t_quantile, estimate_mean
from robench.tables.units import pair_units

MEASURES = tuple(map(Measure.parse, ("t-percentile", "t-hr@10", "t-hr@50", "t-ndcg@10", "ndcg@10")))


class Effect(NamedTuple):
    """An effect of poisoning on one measure, with its null control.

    Args:
        seeds: the number of seeds that were compared.
        before: the mean clean value.
        after: the mean value of the poisoned victims.
        effect: the mean of the paired differences, ``after`` minus ``before``, with its interval.
        control: the interval of the difference that retraining alone would cause.
        verdict: ``rises``, ``falls`` or ``none``. The string is empty if there are too few seeds.
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


def choose_measures(results: Results, goal: str) -> list[Measure]:
    """Returns the measures of a poisoning that tables show.

    These are the measures of the suite that are usual for poisoning or about target items. Measures of target items are
    left out if there are no targets. Measures of lists are not included.

    Args:
        results: the results of the folder.
        goal: the goal of the attack, or an empty string without an attack.
    """
    listed = results.plan.metrics
    usual = [measure for measure in MEASURES if measure in listed]
    usual += [one for one in listed if one not in usual and results.metric(one).needs == "targets"]
    left_out = "targets" if goal in ("", "untargeted") else None
    return [measure for measure in usual if results.metric(measure).needs != left_out]


def build_poisoning_rows(results: Results) -> list[PoisoningRow]:
    """Returns the effects of attacks at training time, each with its control.

    The effect is the mean of (poisoned − clean victim of the same seed), over seeds and over users or target items. An
    effect counts if its p-value is below 5%. Both victims of a pair were fitted independently, so the spread of the
    differences over seeds already contains the effect of retraining.

    The control is the interval that the mean difference would have if poisoning had no effect beyond retraining. If the
    clean means of the seeds have standard deviation σ, a difference of two means over n seeds has the standard
    deviation σ·√(2/n). So the control is 0 ± t·σ·√(2/n), where t is the 97.5% quantile of Student's t with n − 1
    degrees of freedom. No verdict depends on the control.
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
    """Yields the effects of one poisoning, one per measure.

    Measures of targets are left out if the attack has no targets. Each item consists of the measure, the value for
    ``PoisoningRow.alike``, and the effect.
    """
    clean = {cell.seed: cell for cell in results.clean_cells(key)}
    lists = [measure for measure in results.plan.metrics if results.metric(measure).needs == "items"]
    for measure in [*choose_measures(results, cells[0].goal), *lists]:
        pair = pair_units(results, cells, measure, lambda cell: clean.get(cell.seed))
        if pair is not None:
            before, after = pair
            control = compute_null_interval([float(np.nanmean(row)) for row in before])
            yield measure, False, _effect(before, after, after - before, control, _reach(results, measure))
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
    before: FloatArray, after: FloatArray, differences: FloatArray, control: Interval, reach: tuple[float, float]
) -> Effect:
    """Returns an effect with its verdict.

    Intervals are cut at ``reach``, the range of possible differences. No verdict depends on the cut.
    """
    gap = estimate_mean(differences)
    means = float(np.nanmean(before)), float(np.nanmean(after))
    return Effect(len(after), *means, gap.interval(reach), cut_control(control, reach), decide_verdict(gap))


def _effect_on_lists(
    results: Results, cells: Sequence[CellRow], clean: Mapping[int, CellRow], measure: Measure
) -> Effect | None:
    """Returns the effect of a poisoning on list stability.

    ``before`` is the mean similarity between the lists of two clean victims, over all pairs of seeds. ``after`` is the
    mean similarity between the lists of a poisoned victim and those of the clean victim with the same seed. The effect
    is ``after`` minus ``before``.

    Pairs that share a seed are not independent. The spread over seeds is therefore computed from jackknife
    pseudo-values (Tukey 1958), one per seed. Pseudo-values need three clean seeds. With fewer, there is no verdict.
    Only a fall counts, because two victims with the same seed may be more similar than two with different seeds.

    The σ of the control is the standard deviation over the pairs, and its n is the number of seeds.

    Returns:
        The effect, or None if there are fewer than two clean seeds, or if no poisoned victim shares a seed with a clean
        one.
    """

    def alike(one: CellRow, two: CellRow) -> FloatArray:
        outcome = replace(results.outcome(one), clean=results.outcome(two))
        return results.metric(measure).per_user(outcome, measure.k)

    poisoned = sorted({cell.seed for cell in cells} & set(clean))
    after = [np.mean([alike(cell, clean[seed]) for cell in cells if cell.seed == seed], axis=0) for seed in poisoned]
    before = {pair: alike(clean[pair[0]], clean[pair[1]]) for pair in combinations(sorted(clean), 2)}
    if not after or not before:
        return None
    pseudo = {seed: _pseudo_value(before, seed, len(clean)) for seed in poisoned}
    differences = np.stack([now - pseudo[seed] for now, seed in zip(after, poisoned, strict=True)])
    control = compute_null_interval([float(np.nanmean(row)) for row in before.values()], len(clean))
    effect = _effect(np.stack(list(before.values())), np.stack(after), differences, control, _reach(results, measure))
    if len(clean) < 3:
        return effect._replace(verdict="")
    return effect._replace(verdict="none") if effect.verdict == "rises" else effect


def _pseudo_value(similarities: Mapping[tuple[int, int], FloatArray], seed: int, seeds: int) -> FloatArray:
    """Returns the jackknife pseudo-value of one seed, float64 [users].

    The pseudo-value of a seed is n times the mean over all pairs of seeds, minus n − 1 times the mean over the pairs
    without the seed. The mean of the n pseudo-values is the mean over all pairs. With two seeds, no pair remains, so
    the result is the similarity itself.

    Args:
        similarities: the similarity of each user's lists, float64 [users], by pair of seeds.
        seed: the seed.
        seeds: the number n of seeds.
    """
    whole: FloatArray = np.mean(list(similarities.values()), axis=0)
    others = [values for pair, values in similarities.items() if seed not in pair]
    return seeds * whole - (seeds - 1) * np.mean(others, axis=0) if others else whole


def compute_null_interval(clean_means: list[float], seeds: int | None = None) -> Interval:
    """Returns the 95% interval of the mean difference over n pairs of clean victims.

    The interval is 0 ± t·σ·√(2/n), where t is the 97.5% quantile of Student's t with n − 1 degrees of freedom. The
    interval is unbounded if there are fewer than two clean means.

    Args:
        clean_means: the clean mean of each seed or of each pair of seeds. Their standard deviation is σ.
        seeds: the number n of pairs. The default is the number of means.
    """
    n = len(clean_means) if seeds is None else seeds
    if len(clean_means) < 2:
        return Interval(0.0, -math.inf, math.inf)
    half = compute_t_quantile(n - 1) * float(np.std(clean_means, ddof=1)) * math.sqrt(2 / n)
    return Interval(0.0, -half, half)


def cut_control(control: Interval, reach: tuple[float, float]) -> Interval:
    """Returns a null control, cut at the bounds of a difference.

    An unbounded control is not cut.
    """
    if not math.isfinite(control.high):
        return control
    return Interval(control.mean, max(control.low, reach[0]), min(control.high, reach[1]))


def decide_verdict(effect: Estimate) -> str:
    """Returns ``rises`` or ``falls`` if an effect is significant, else ``none``.

    The verdict is empty with one seed, because one difference shows nothing about retraining.
    """
    if effect.seeds < 2:
        return ""
    if effect.compute_p() >= LEVEL:
        return "none"
    return "rises" if effect.mean > 0 else "falls"
