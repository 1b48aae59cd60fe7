"""Leaderboard rows: clean and worst-case values per user, their intervals, p-values and ranks (design A8)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.threat import SURFACES
from robench.store.record import ENSEMBLE
from robench.tables.results import ROW, Columns, Results, RowKey, ensembles_of, row_of, threat_of
from robench.tables.stats import Interval, holm, interval, paired_p, rank_ranges

LINE = "popularity"
FROZEN = "frozen"
Matrix = NDArray[np.float64]


@dataclass(eq=False)
class Row:
    """One row. ``clean`` and ``worst``: float64 [S, U] by seed; worst None where nothing was attacked."""

    key: RowKey
    columns: Columns
    seeds: list[int]
    clean: Matrix
    worst: Matrix | None
    attacks: list[str]
    planned: int
    measured: int
    adaptive: str = ""
    flags: list[str] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    ranked: bool = True
    rank: tuple[int, int, int] | None = None
    p_value: float | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)

    @property
    def defended(self) -> bool:
        """Whether this row has a twin to be compared with."""
        return bool(self.columns["defense"] != "none")

    def clean_interval(self) -> Interval:
        """Of the clean value."""
        return interval(self.clean, self.bounds)

    def worst_interval(self) -> Interval | None:
        """Of the worst case."""
        return None if self.worst is None else interval(self.worst, self.bounds)

    def drop(self) -> float | None:
        """1 − worst / clean; None where there is nothing to divide."""
        worst, clean = self.worst_interval(), self.clean_interval()
        if worst is None or not clean.mean or math.isnan(worst.mean):
            return None
        return 1 - worst.mean / clean.mean

    def hits(self, results: Results, k: int) -> float:
        """Users with a held-out item in the clean top k, mean over seeds."""
        counts = []
        for columns in clean_cells(results, self.key):
            outcome = results.outcome(columns)
            counts.append(int((outcome.per_user_sum((outcome.ranks <= k).astype(float)) > 0).sum()))
        return float(np.mean(counts)) if counts else 0.0


def clean_cells(results: Results, key: RowKey) -> list[Columns]:
    """The measured clean cells of a row's unpoisoned victims, by seed."""
    found = [c for c in results.cells if c["attack"] == "none" and row_of(c) == key and results.ok(c)]
    return sorted(found, key=lambda c: c["seed"])


def table_rows(results: Results, entry: Mapping[str, Any], group: tuple[str, str]) -> list[Row]:
    """The rows of one table: a data set and split, and a ranking entry."""
    keys = [row_of(c) for c in results.cells if (c["dataset"], c["split"]) == group]
    rows = []
    for key in dict.fromkeys(keys):
        row = _row(results, entry, key)
        if row is not None:
            rows.append(row)
    return rows


def own_weights(results: Results, key: RowKey) -> dict[str, float]:
    """λ in a defence's own terms, as its fits report it: ``lambda_apr`` for APR, say."""
    fits = [results.records[c["cell"]].get("fit") or {} for c in clean_cells(results, key)]
    names = dict.fromkeys(name for fit in fits for name in fit if name.startswith("train_lambda_"))
    return {n.removeprefix("train_"): float(np.mean([fit[n] for fit in fits if n in fit])) for n in names}


def clean_row(results: Results, key: RowKey, metric: str) -> Row | None:
    """A row without an attack; None where nothing of it was measured."""
    planned = [c for c in results.cells if row_of(c) == key and c["status"] != "skipped" and c["attack"] == "none"]
    cells = clean_cells(results, key)
    values = [v for v in (results.over_sets(c, metric) for c in cells) if v is not None]
    if not values or len(values) < len(cells):
        return None
    bounds = results.metric(metric).bounds
    seeds = [c["seed"] for c in cells]
    return Row(key, cells[0], seeds, np.stack(values), None, [], len(planned), len(cells), bounds=bounds)


def _row(results: Results, entry: Mapping[str, Any], key: RowKey) -> Row | None:
    """A row, or None where its clean cells are not there or nothing of it is planned under this threat."""
    metric = entry["metric"]
    made = results.metric(metric)
    planned = [c for c in results.cells if row_of(c) == key and c["status"] != "skipped"]
    attacked = [
        c
        for c in planned
        if c["attack"] != "none" and threat_of(c) == threat_of(entry) and c["epsilon"] <= entry["epsilon"]
    ]
    if ensembles_of(results, entry):
        attacked = [c for c in attacked if c.get("kind") == ENSEMBLE]
    clean = {c["seed"]: c for c in clean_cells(results, key)}
    columns = next((c for c in planned), None)
    if columns is None or not clean or (not attacked and columns["model"] != LINE):
        return None
    # A seed that lacks an attack (failed, or excluded) would leave the others with fewer attacks than they had.
    wanted = {(c["attack_label"], c["epsilon"]) for c in attacked}
    have = {s: {(c["attack_label"], c["epsilon"]) for c in attacked if c["seed"] == s} for s in clean}
    whole = [s for s in clean if have[s] == wanted and all(results.ok(c) for c in attacked if c["seed"] == s)]
    seeds = whole or list(clean)
    before = [results.over_sets(clean[seed], metric) for seed in seeds]
    if any(values is None for values in before):
        return None
    known = [values for values in before if values is not None]
    found = [c for c in attacked if results.ok(c) and c["seed"] in seeds]
    higher = made.higher_is_better
    line = columns["model"] == LINE
    per_user = SURFACES[entry["surface"]].each_user_alone and not made.pooled
    worst = None if line or not found else _worst(results, found, metric, known, seeds, higher, per_user)
    adaptive = ", ".join(sorted({c["adaptive"] for c in attacked if c["adaptive"]}))
    labels = sorted({_attack_set(results, c) for c in attacked})
    expected = [c for c in planned if c["attack"] == "none" or c in attacked]
    measured = sum(results.ok(c) for c in expected)
    bounds = made.bounds
    row = Row(key, columns, seeds, np.stack(known), worst, labels, len(expected), measured, adaptive, bounds=bounds)
    # An attack made elsewhere (A4: "frozen") may have missed this pipeline: it says nothing about its rank.
    row.ranked = worst is not None and not any(c["adaptive"] == FROZEN for c in attacked)
    return row


def _attack_set(results: Results, c: Columns) -> str:
    """The attack as a table names it: an ensemble by its name and version."""
    record = results.records.get(c["cell"], {})
    if c.get("kind") != ENSEMBLE:
        return str(c["attack_label"])
    version = ((record.get("spec") or {}).get("attack") or {}).get("config", {}).get("version")
    return str(c["attack"]) if version is None else f"{c['attack']}@{version}"


def _worst(
    results: Results,
    cells: Sequence[Columns],
    metric: str,
    clean: list[Matrix],
    seeds: list[int],
    higher: bool,
    per_user: bool,
) -> Matrix | None:
    """The worst case [S, U]: per user over clean and all attacks, or the single attack with the worst mean."""
    by_attack: dict[tuple[str, float], dict[int, list[Matrix]]] = {}
    for c in cells:
        values = results.over_sets(c, metric)
        if values is not None:
            by_attack.setdefault((c["attack_label"], c["epsilon"]), {}).setdefault(c["seed"], []).append(values)
    whole = {
        name: np.stack([np.mean(of_seed[seed], axis=0) for seed in seeds])
        for name, of_seed in by_attack.items()
        if all(seed in of_seed for seed in seeds)
    }
    if not whole:
        return None
    if per_user:
        stacked = np.stack([np.stack(clean), *whole.values()])
        worst: Matrix = stacked.min(0) if higher else stacked.max(0)
        return worst
    pick = min if higher else max
    defined = [values for values in whole.values() if not np.isnan(values).all()]
    return pick(defined, key=lambda m: float(np.nanmean(m))) if defined else None


def compare(rows: Sequence[Row], results: Results, entry: Mapping[str, Any]) -> None:
    """Fill in p-values against the undefended twin (Holm over the defended rows) and ranks."""
    twins = {row.key[:4]: row for row in rows if not row.defended}
    tested = []
    for row in rows:
        twin = twins.get(row.key[:4])
        if row.defended and row.worst is not None and twin is not None and twin.worst is not None:
            common = [seed for seed in row.seeds if seed in twin.seeds]
            if common:
                mine = np.stack([row.worst[row.seeds.index(seed)] for seed in common]).mean(0)
                other = np.stack([twin.worst[twin.seeds.index(seed)] for seed in common]).mean(0)
                tested.append((row, paired_p(mine - other)))
    for (row, _), p in zip(tested, holm([p for _, p in tested]), strict=True):
        row.p_value = p
    higher = results.metric(entry["metric"]).higher_is_better
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        if row.ranked and row.worst is not None:
            groups.setdefault(None if SURFACES[entry["surface"]].ranks_models else row.key[:4], []).append(row)
    for group in groups.values():
        seeds = set.intersection(*(set(row.seeds) for row in group))
        chosen = [
            np.stack([row.worst[i] for i, seed in enumerate(row.seeds) if seed in seeds])
            for row in group
            if row.worst is not None and seeds
        ]
        for row, ranks in zip(group, rank_ranges(chosen, higher_is_better=higher), strict=False):
            row.rank = ranks


def curves(results: Results, metric: str) -> list[dict[str, Any]]:
    """The mean of ``metric`` along ε for every test-time attack, and the area under it over its largest ε.

    The area is the trapezoid rule over ε from 0 (clean), divided by the largest ε: the mean value within the budget.
    Only seeds with every ε and the clean cell count, so that a curve is of the same fits all along.
    """
    if metric not in results.plan["metrics"]:
        return []
    groups: dict[tuple[RowKey, str], list[Columns]] = {}
    for c in results.cells:
        if c["stage"] == "test" and results.ok(c):
            groups.setdefault((row_of(c), c["attack_label"]), []).append(c)
    found = []
    for (key, label), cells in groups.items():
        points: dict[float, dict[int, list[float]]] = {}
        for epsilon, c in [*((0.0, c) for c in clean_cells(results, key)), *((c["epsilon"], c) for c in cells)]:
            values = results.per_user(c, metric)
            if values is not None:
                points.setdefault(epsilon, {}).setdefault(c["seed"], []).append(float(np.nanmean(values)))
        epsilons = sorted(points)
        seeds = sorted(set.intersection(*map(set, points.values()))) if 0.0 in points and len(points) > 1 else []
        if not seeds:
            continue
        means = [float(np.mean([np.mean(points[e][seed]) for seed in seeds])) for e in epsilons]
        area = float(np.trapezoid(means, epsilons)) / epsilons[-1]
        threat = {name: cells[0][name] for name in ("surface", "norm", "scale", "goal")}
        row = {**dict(zip(ROW, key, strict=True)), **threat, "attack_label": label, "metric": metric}
        found.append({**row, "epsilon": epsilons, "value": means, "area": area, "seeds": len(seeds)})
    return found
