"""What attacks on titles did, at what cost and how far from the genuine titles."""

from __future__ import annotations

from typing import Any

import numpy as np

from robench.tables.results import ROW, Columns, Results, row_of
from robench.tables.stats import interval

SPENT = ("edits_mean", "similarity_mean", "similarity_min", "queries", "gradients")
EXAMPLES = 3


def rewritten(results: Results) -> list[dict[str, Any]]:
    """Per row, attack and ε, over seeds and target sets: the metric before and after, and what was spent.

    ``metric`` is t-hr@10 where items are promoted, else ndcg@10, the first of its kind that the suite measures where
    it has not these. ``strongest`` marks the attack that moves it furthest at that ε, if one does. ``examples`` are
    titles before and after, of the first cell.
    """
    groups: dict[tuple[Any, ...], list[Columns]] = {}
    for c in results.cells:
        if c["surface"] == "text" and results.ok(c):
            groups.setdefault((row_of(c), c["attack_label"], c["norm"], c["goal"], c["epsilon"]), []).append(c)
    found = []
    for (key, label, norm, goal, epsilon), cells in groups.items():
        metric = _metric(results, goal)
        values = None if metric is None else _before_and_after(results, cells, metric)
        if metric is None or values is None:
            continue
        before, after = values
        records = [results.records[c["cell"]] for c in cells]
        achieved = [record["achieved"] for record in records]
        rows = records[0].get("titles", [])
        found.append(
            {
                **dict(zip(ROW, key, strict=True)),
                "attack_label": label,
                "norm": norm,
                "goal": goal,
                "epsilon": epsilon,
                "metric": metric,
                "before": float(np.nanmean(before)),
                "after": float(np.nanmean(after)),
                "effect": list(interval(np.nan_to_num(after - before), (-1.0, 1.0))),
                **{name: _mean([part[name] for part in achieved if name in part]) for name in SPENT},
                "examples": [[row["before"], row["after"]] for row in rows[:EXAMPLES]],
            }
        )
    for row in found:
        rivals = [other for other in found if _same(other, row)]
        sign = 1 if row["goal"] == "promote" else -1
        moved = sign * (row["after"] - row["before"]) > 0
        row["strongest"] = moved and len(rivals) > 1 and row is max(rivals, key=lambda other: sign * other["after"])
    return found


def _same(one: dict[str, Any], two: dict[str, Any]) -> bool:
    return all(one[name] == two[name] for name in (*ROW, "norm", "goal", "epsilon"))


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _metric(results: Results, goal: str) -> str | None:
    needs, first = ("targets", "t-hr@10") if goal == "promote" else ("held-out", "ndcg@10")
    measured = [m for m in results.plan["metrics"] if results.metric(m).needs == needs]
    return first if first in measured else next(iter(measured), None)


def _before_and_after(results: Results, cells: list[Columns], metric: str) -> tuple[Any, Any] | None:
    """float64 [cells, U] each: of the clean cell, of the same items, and of the attacked one."""
    pairs = []
    for c in cells:
        clean = results.clean_of(c)
        before = None if clean is None else results.per_user(clean, metric, c["target_set"])
        after = results.per_user(c, metric)
        if before is not None and after is not None:
            pairs.append((before, after))
    return (np.stack([b for b, _ in pairs]), np.stack([a for _, a in pairs])) if pairs else None
