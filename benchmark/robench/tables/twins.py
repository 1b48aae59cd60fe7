"""Compares each robust model with its undefended twin, clean and attacked, as docs/findings/article.md shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from robench.tables.results import ROW, Columns, Results, RowKey, is_undefended, row_of
from robench.tables.rows import clean_cells
from robench.tables.stats import interval

KINDS = ("held-out", "likes")
Cells = Mapping[int, Columns]


def twins(results: Results) -> list[dict[str, Any]]:
    """A row per defended model, attack at test time with its ε, and metric; none where no metric of likes is asked for.

    Values are means over the users and the seeds that both models share, with the intervals of ``stats.interval``;
    ``gain`` is robust − undefended under the attack, paired over users and seeds. ``inverted`` counts the fits of
    either whose calibration has a ≤ 0.
    """
    needs = {m: results.metric(m).needs for m in results.plan["metrics"]}
    if "likes" not in needs.values():
        return []
    metrics = [metric for metric, kind in needs.items() if kind in KINDS]
    attacked: dict[tuple[str, float], dict[RowKey, dict[int, Columns]]] = {}
    for c in results.cells:
        if c["stage"] == "test" and c["goal"] == "untargeted" and results.ok(c):
            cells = attacked.setdefault((c["attack_label"], c["epsilon"]), {})
            cells.setdefault(row_of(c), {})[c["seed"]] = c
    plain = {row_of(c)[:4]: row_of(c) for c in results.cells if is_undefended(c)}
    found = []
    for (label, epsilon), by_row in attacked.items():
        for key, robust in by_row.items():
            twin = plain.get(key[:4])
            if twin is None or twin == key or twin not in by_row:
                continue
            four = [_clean(results, twin), by_row[twin], _clean(results, key), robust]
            seeds = sorted(set.intersection(*(set(cells) for cells in four)))
            first = next(iter(robust.values()))
            head = {
                **dict(zip(ROW, key, strict=True)),
                "surface": first["surface"],
                "norm": first["norm"],
                "scale": first["scale"],
            }
            head |= {"attack_label": label, "epsilon": epsilon, "seeds": len(seeds)}
            found += [head | row for metric in metrics if (row := _row(results, metric, seeds, four))]
    return found


def _clean(results: Results, key: RowKey) -> Cells:
    return {c["seed"]: c for c in clean_cells(results, key)}


def _row(results: Results, metric: str, seeds: list[int], four: list[Cells]) -> dict[str, Any]:
    """One metric of the undefended and the robust model, clean and attacked each; empty where it does not apply."""
    values = [[results.per_user(cells[seed], metric) for seed in seeds] for cells in four]
    if not seeds or any(part is None for parts in values for part in parts):
        return {}
    low, high = results.metric(metric).bounds
    whole = [np.stack([part for part in parts if part is not None]) for parts in values]
    names = ("twin_clean", "twin_attacked", "robust_clean", "robust_attacked")
    return {
        "metric": metric,
        **{name: list(interval(part, (low, high))) for name, part in zip(names, whole, strict=True)},
        "gain": list(interval(whole[3] - whole[1], (low - high, high - low))),
        "inverted": [sum(_inverted(results, cells[seed]) for seed in seeds) for cells in (four[0], four[2])],
    }


def _inverted(results: Results, c: Columns) -> bool:
    return "calibration_inverted" in results.records[c["cell"]].get("diagnostics", {})
