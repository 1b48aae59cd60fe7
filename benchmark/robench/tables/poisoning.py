"""Poisoning beside its null control: what retraining alone does, from clean victims of other seeds."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from robench.api.metric import Measure
from robench.tables.results import Results, RowKey, row_of
from robench.tables.rows import Matrix, clean_cells
from robench.tables.stats import Interval, interval, t_quantile

METRICS = ("t-percentile", "t-hr@10", "t-hr@50", "t-ndcg@10", "ndcg@10")


def poisoning(results: Results) -> list[dict[str, Any]]:
    """The effect of every train-stage attack on targets and accuracy, each with its control.

    Effect: mean over users and seeds of (poisoned − clean twin of the same seed), with the wider of the user bootstrap
    and t over seeds. Control: the interval of the same mean if poisoning did nothing but retrain: the seeds' clean
    means have standard deviation σ, a difference of two means over n seeds has σ·√(2/n), so 0 ± t(n − 1)·σ·√(2/n).
    An effect counts only where the two intervals are apart.
    """
    wanted = [m for m in METRICS if m in results.plan["metrics"]]
    found = []
    groups: dict[tuple[RowKey, str, float], list[Any]] = {}
    for c in results.cells:
        if c["stage"] == "train" and results.ok(c):
            groups.setdefault((row_of(c), c["attack_label"], c["epsilon"]), []).append(c)
    lists = [m for m in results.plan["metrics"] if results.metric(m).needs == "clean"]
    for (key, label, epsilon), cells in groups.items():
        clean = {c["seed"]: c for c in clean_cells(results, key)}
        names = ("dataset", "split", "model_label", "defense_label", "lambda", "train_epsilon")
        head = {**{name: cells[0][name] for name in names}, "attack_label": label, "epsilon": epsilon}
        for metric in wanted:
            pairs = _pairs(results, cells, clean, metric)
            if not pairs:
                continue
            before, after = (np.stack([pair[i] for pair in pairs]) for i in (0, 1))
            reach = _reach(results, metric)
            effect = interval(after - before, reach)
            control = null_interval([float(np.nanmean(row)) for row in before])
            found.append({**head, "metric": metric, "alike": False, **_numbers(before, after, effect, control, reach)})
        for metric in lists:
            numbers = _lists(results, cells, clean, metric)
            if numbers is not None:
                found.append({**head, "metric": metric, "alike": True, **numbers})
    return found


def _reach(results: Results, metric: str) -> tuple[float, float]:
    """What a difference of two means of a metric cannot leave: −1 and 1 for a metric from 0 to 1."""
    low, high = results.metric(metric).bounds
    return low - high, high - low


def _numbers(
    before: Matrix, after: Matrix, effect: Interval, control: Interval, reach: tuple[float, float]
) -> dict[str, Any]:
    """A row; a control that is known is cut at ``reach``, which changes no verdict: an effect is cut there too."""
    if math.isfinite(control.high):
        control = Interval(control.mean, max(control.low, reach[0]), min(control.high, reach[1]))
    return {
        "seeds": len(after),
        "before": float(np.nanmean(before)),
        "after": float(np.nanmean(after)),
        "effect": list(effect),
        "control": list(control),
        "verdict": verdict(effect, control),
    }


def _lists(results: Results, cells: list[Any], clean: dict[int, Any], metric: str) -> dict[str, Any] | None:
    """List stability: poisoned lists against their clean twin's, beside clean lists against other seeds' clean lists.

    ``before`` is the similarity of two clean seeds (every pair), ``after`` that of a poisoned victim and its twin, the
    effect their difference. Control: as above with σ over the pairs; pairs share seeds, so n is the number of seeds
    (and two seeds, one pair, know no σ). Only a fall counts: twins share a seed, so they may well be more alike than
    two seeds are. None without two clean seeds.
    """
    made, k = results.metric(metric), Measure.parse(metric).k

    def alike(one: Any, two: Any) -> Matrix:
        return made.per_user(replace(results.outcome(one), clean=results.outcome(two)), k)

    after = [
        np.mean([alike(c, clean[seed]) for c in cells if c["seed"] == seed], axis=0)
        for seed in sorted({c["seed"] for c in cells} & set(clean))
    ]
    before = [alike(clean[a], clean[b]) for a, b in combinations(sorted(clean), 2)]
    if not after or not before:
        return None
    reach = _reach(results, metric)
    effect = interval(np.stack(after) - np.mean(before, axis=0), reach)
    control = null_interval([float(np.nanmean(row)) for row in before], len(clean))
    numbers = _numbers(np.stack(before), np.stack(after), effect, control, reach)
    return {**numbers, "verdict": "none" if numbers["verdict"] == "rises" else numbers["verdict"]}


def _pairs(results: Results, cells: list[Any], clean: dict[int, Any], metric: str) -> list[Any]:
    """(clean, poisoned) values per user for every seed, averaged over target sets."""
    seeds = sorted({c["seed"] for c in cells} & set(clean))
    pairs = []
    for seed in seeds:
        before, after = [], []
        for c in (c for c in cells if c["seed"] == seed):
            one = results.per_user(clean[seed], metric, c["target_set"])
            two = results.per_user(c, metric)
            if one is not None and two is not None:
                before.append(one)
                after.append(two)
        if before:
            pairs.append((np.mean(before, axis=0), np.mean(after, axis=0)))
    return pairs


def null_interval(clean_means: list[float], seeds: int | None = None) -> Interval:
    """Where the mean difference of n retrained clean pairs lies with 95%; unbounded for one mean.

    Args:
        clean_means: whose standard deviation is σ.
        seeds: n, by default as many as there are means.
    """
    n = len(clean_means) if seeds is None else seeds
    if len(clean_means) < 2:
        return Interval(0.0, -math.inf, math.inf)
    half = t_quantile(n - 1) * float(np.std(clean_means, ddof=1)) * math.sqrt(2 / n)
    return Interval(0.0, -half, half)


def verdict(effect: Interval, control: Interval) -> str:
    """``rises`` or ``falls`` where the intervals are apart, else ``none``: within what retraining does.

    Empty without a control (one seed, or one pair of seeds for lists): then nothing can be said.
    """
    if not math.isfinite(control.high):
        return ""
    if effect.low > control.high:
        return "rises"
    return "falls" if effect.high < control.low else "none"
