"""Records -> tables. Pure, recomputed from plan.json and the cells' arrays; never imports torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robench.api.metric import Measure, Metric
from robench.api.threat import SURFACES
from robench.store.folder import Store
from robench.store.record import mean_of
from robench.tables.columns import CELLS, TIMINGS
from robench.tables.defences import defenses
from robench.tables.flags import judge
from robench.tables.members import ensembles
from robench.tables.poisoning import poisoning
from robench.tables.ranking import compare
from robench.tables.reranking import two_stages
from robench.tables.results import ROW, Columns, Results, ensembles_of, is_baseline, is_undefended, row_of
from robench.tables.rows import Row, attack_names, clean_row, curves, is_published, own_weights, table_rows
from robench.tables.titles import rewritten
from robench.tables.twins import twins

FORMAT_VERSION = 1
REFERENCE = "ndcg@10"


@dataclass(frozen=True)
class Tables:
    """Every table of a folder, as plain rows; ``tables`` groups the leaderboard's rows by ranking entry.

    ``clean``: what no table shows. ``failures``: cells that failed. ``skipped``: cells by the reason why they are.
    """

    suite: str
    cells: list[dict[str, Any]]
    tables: list[dict[str, Any]]
    poisoning: list[dict[str, Any]]
    radii: list[dict[str, Any]]
    ensembles: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    twins: list[dict[str, Any]]
    rewritten: list[dict[str, Any]]
    stages: list[dict[str, Any]]
    clean: list[dict[str, Any]]
    defenses: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    skipped: dict[str, int]
    timings: list[dict[str, Any]]
    metric_versions: dict[str, int]
    counts: dict[str, int]

    def rows(self) -> list[dict[str, Any]]:
        """The leaderboard's rows, table after table."""
        return [row for table in self.tables for row in table["rows"]]


def build_tables(folder: Path, metrics: Mapping[str, Metric], store: Store | None = None) -> Tables:
    """All tables of a folder of results.

    Args:
        metrics: metric objects by registered name; those of plan.json's list.
        store: the folder, if some of its arrays were read already.

    Raises:
        UserError: no plan, a damaged record or array, or another version of a metric.
    """
    results = Results(folder, metrics, store)
    counts: dict[str, int] = {}
    for c in results.cells:
        counts[results.status(c)] = counts.get(results.status(c), 0) + 1
    tables = _tables(results)
    return Tables(
        results.plan["suite"],
        [row for c in results.cells for row in cell_rows(results, c)],
        tables,
        poisoning(results),
        _radii(results),
        ensembles(results),
        curves(results, REFERENCE),
        twins(results),
        rewritten(results),
        two_stages(results),
        _clean(results, [row for table in tables for row in table["rows"]]),
        defenses(results),
        [_failure(results, c) for c in results.cells if results.status(c) == "failed"],
        dict(Counter(c["reason"] for c in results.cells if results.status(c) == "skipped")),
        [_timing(results, c) for c in results.cells if c["cell"] in results.records],
        {name: metrics[Measure.parse(name).name].version for name in results.plan["metrics"]},
        counts,
    )


def cell_rows(results: Results, c: Columns) -> Iterable[dict[str, Any]]:
    """A row per metric (target metrics of clean cells: per target set), or one bare row for what was not measured."""
    record = results.records.get(c["cell"], {})
    base = {name: c.get(name) for name in CELLS if name in c}
    base |= {"suite": results.plan["suite"], "status": results.status(c)}
    base["achieved_epsilon"] = record.get("achieved", {}).get("epsilon")
    if not results.ok(c):
        yield base
        return
    for metric in results.plan["metrics"]:
        made = results.metric(metric)
        every = made.needs == "targets" and c["target_set"] is None
        for number in results.sets() if every else [None]:
            values = results.per_user(c, metric, number)
            if values is None:
                continue
            target_set = c["target_set"] if number is None else number
            found = {
                "metric": metric,
                "metric_version": made.version,
                "value": mean_of(values),
                "target_set": target_set,
            }
            yield {**base, **found}


def _tables(results: Results) -> list[dict[str, Any]]:
    groups = dict.fromkeys((c["dataset"], c["split"]) for c in results.cells)
    found = []
    for group in groups:
        lines = [c for c in results.cells if is_baseline(c) and (c["dataset"], c["split"]) == group]
        popularity = _popularity(results, lines)
        for entry in results.plan["ranking"]:
            rows = table_rows(results, entry, group)
            for row in rows:
                judge(results, row, REFERENCE, popularity, entry)
            compare(rows, results, entry)
            if any(row.worst is not None for row in rows):
                found.append(_table(results, entry, group, rows))
    return found


def _clean(results: Results, shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Clean values of every data set, model and defence that no table shows: metrics of held-out items and likes."""
    metrics = [m for m in results.plan["metrics"] if results.metric(m).needs in ("held-out", "likes")]
    known = {tuple(row[name] for name in ROW) for row in shown}
    found = []
    for key in dict.fromkeys(row_of(c) for c in results.cells):
        rows = {m: row for m in metrics if (row := clean_row(results, key, m)) is not None} if key not in known else {}
        if not rows:
            continue
        first = rows.get(REFERENCE) or next(iter(rows.values()))
        lines = [c for c in results.cells if is_baseline(c) and row_of(c)[:2] == key[:2]]
        judge(results, first, REFERENCE, _popularity(results, lines))
        found.append(
            {
                **dict(zip(ROW, key, strict=True)),
                "values": {metric: list(row.clean_interval()) for metric, row in rows.items()},
                "seeds": len(first.seeds),
                "users": first.clean.shape[1],
                "users_hit": first.hits(results, 10),
                "flags": "; ".join(first.flags),
                "notes": first.notes,
            }
        )
    return found


def _failure(results: Results, c: Columns) -> dict[str, Any]:
    """A failed cell by name, with its error in a line."""
    error = results.records[c["cell"]].get("error") or {}
    names = ("cell", "dataset", "split", "model_label", "defense_label", "lambda", "attack_label", "epsilon", "seed")
    told = " ".join(f"{error.get('type', '')}: {error.get('message', '')}".split())
    return {**{name: c[name] for name in names}, "error": told}


def _popularity(results: Results, lines: list[Columns]) -> Any:
    """Popularity's clean values of the reference metric [S, U], or None."""
    if REFERENCE not in results.plan["metrics"]:
        return None
    clean = [c for c in lines if c["attack"] == "none" and is_undefended(c) and results.ok(c)]
    values = [results.per_user(c, REFERENCE) for c in sorted(clean, key=lambda c: c["seed"])]
    return np.stack([v for v in values if v is not None]) if values else None


def _table(results: Results, entry: Mapping[str, Any], group: tuple[str, str], rows: list[Row]) -> dict[str, Any]:
    attacks = attack_names(results, entry, group)
    title = attacks[0] if is_published(results, entry, group) else "custom attack set"
    head = {**{name: entry[name] for name in ("surface", "stage", "norm", "scale", "goal", "k", "epsilon", "metric")}}
    within = not SURFACES[entry["surface"]].ranks_models
    order = sorted(rows, key=lambda row: _order(row, rows, within))
    return {
        **head,
        "dataset": group[0],
        "split": group[1],
        "title": title,
        "ensemble": ensembles_of(results, entry),
        "hit_k": hit_k(results, entry),
        "rise": entry["goal"] == "promote" and not results.metric(entry["metric"]).higher_is_better,
        "attacks": attacks,
        "rows": [_leader(results, entry, group, row) for row in order],
    }


def hit_k(results: Results, entry: Mapping[str, Any]) -> int:
    """The k of "users hit at k": the metric's own, or for metrics of targets the threat's."""
    k = Measure.parse(entry["metric"]).k if results.metric(entry["metric"]).needs == "held-out" else 0
    return int(k or entry["k"] or 10)


def _order(row: Row, rows: list[Row], within: bool) -> tuple[Any, ...]:
    """By rank, model by model where ranks are within models; unranked rows after the ranked, popularity last."""
    models = [other.key[3] for other in rows]
    unranked = (row.rank is None, row.rank or (math.inf,))
    return (
        is_baseline(row.columns),
        models.index(row.key[3]) if within else 0,
        *unranked,
        models.index(row.key[3]),
    )


def _leader(results: Results, entry: Mapping[str, Any], group: tuple[str, str], row: Row) -> dict[str, Any]:
    clean, worst = row.clean_interval(), row.worst_interval()
    rank = row.rank or (None, None, None)
    return {
        "rank": rank[0],
        "rank_low": rank[1],
        "rank_high": rank[2],
        "dataset": group[0],
        "split": group[1],
        **{name: entry[name] for name in ("surface", "stage", "norm", "scale", "goal", "k", "epsilon", "metric")},
        **{n: row.columns[n] for n in ("model", "model_label", "defense", "defense_label", "lambda", "train_epsilon")},
        **({"baseline": True} if row.columns.get("baseline") else {}),
        "attack_set": f"custom: {', '.join(row.attacks)}" if row.attacks and not row.standard else "".join(row.attacks),
        "adaptive": row.adaptive,
        "own_weights": own_weights(results, row.key),
        "clean": clean.mean,
        "clean_low": clean.low,
        "clean_high": clean.high,
        "worst": None if worst is None else worst.mean,
        "worst_low": None if worst is None else worst.low,
        "worst_high": None if worst is None else worst.high,
        "drop": row.drop(),
        "p_value": row.p_value,
        "flags": "; ".join(row.flags),
        "seeds": len(row.seeds),
        "users": row.clean.shape[1],
        "users_hit": row.hits(results, hit_k(results, entry)),
        "notes": row.notes,
    }


def _radii(results: Results) -> list[dict[str, Any]]:
    """Quantiles of the least breaking radius (in ε) among users hit at clean, with their share and the unbroken."""
    groups: dict[tuple[Any, ...], list[Columns]] = {}
    for c in results.cells:
        untargeted = c["stage"] == "test" and c["goal"] == "untargeted"
        if results.ok(c) and untargeted and "radius" in results.arrays(c["cell"]):
            key = (c["dataset"], c["split"], c["model_label"], c["defense_label"], c["lambda"], c["train_epsilon"])
            groups.setdefault((*key, c["attack_label"]), []).append(c)
    found = []
    for key, cells in groups.items():
        # Every ε of a victim stores the same radii: one cell per seed is enough.
        by_seed = {c["seed"]: results.arrays(c["cell"]) for c in cells}
        hit = np.concatenate([a["hit"] for a in by_seed.values()])
        radius = np.concatenate([a["radius"] for a in by_seed.values()])[hit]
        quantiles = np.quantile(radius, [0.25, 0.5, 0.75], method="nearest") if len(radius) else [math.nan] * 3
        names = ("dataset", "split", "model_label", "defense_label", "lambda", "train_epsilon", "attack_label")
        found.append(
            {
                **dict(zip(names, key, strict=True)),
                "hit_share": float(hit.mean()),
                **{f"radius_q{q}": float(v) for q, v in zip((25, 50, 75), quantiles, strict=True)},
                "unbroken_share": float((~np.isfinite(radius)).mean()) if len(radius) else math.nan,
                "seeds": len(by_seed),
            }
        )
    return found


def _timing(results: Results, c: Columns) -> dict[str, Any]:
    record = results.records[c["cell"]]
    costs = {name: record.get(name) for name in ("seconds", "fit_seconds", "peak_memory_mib")}
    costs |= {name: record.get("reading", {}).get(name) for name in ("texts", "tokens", "written")}
    costs |= {f"fit_{name}": record.get("fit", {}).get(f"{name}_read") for name in ("texts", "tokens")}
    return {**{name: c.get(name) for name in TIMINGS}, "status": results.status(c), **costs}
