"""Poisoning beside its null control: what retraining alone does, from clean victims of other seeds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from robench.results import Results, RowKey, row_of
from robench.rows import clean_cells
from robench.stats import Interval, interval, t_quantile

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
    for (key, label, epsilon), cells in groups.items():
        clean = {c["seed"]: c for c in clean_cells(results, key)}
        for metric in wanted:
            pairs = _pairs(results, cells, clean, metric)
            if not pairs:
                continue
            before, after = (np.stack([pair[i] for pair in pairs]) for i in (0, 1))
            effect = interval(after - before)
            control = null_interval([float(np.nanmean(row)) for row in before])
            found.append(
                {
                    "dataset": cells[0]["dataset"],
                    "split": cells[0]["split"],
                    "model_label": cells[0]["model_label"],
                    "defense_label": cells[0]["defense_label"],
                    "lambda": cells[0]["lambda"],
                    "train_epsilon": cells[0]["train_epsilon"],
                    "attack_label": label,
                    "epsilon": epsilon,
                    "metric": metric,
                    "seeds": len(pairs),
                    "before": float(np.nanmean(before)),
                    "after": float(np.nanmean(after)),
                    "effect": list(effect),
                    "control": list(control),
                    "verdict": verdict(effect, control),
                }
            )
    return found


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


def null_interval(clean_means: list[float]) -> Interval:
    """Where the mean difference of n retrained clean pairs lies with 95%; unbounded for one seed."""
    n = len(clean_means)
    if n < 2:
        return Interval(0.0, -math.inf, math.inf)
    half = t_quantile(n - 1) * float(np.std(clean_means, ddof=1)) * math.sqrt(2 / n)
    return Interval(0.0, -half, half)


def verdict(effect: Interval, control: Interval) -> str:
    """``rises`` or ``falls`` where the intervals are apart, else ``none``: within what retraining does."""
    if effect.low > control.high:
        return "rises"
    return "falls" if effect.high < control.low else "none"
