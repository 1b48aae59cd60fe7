"""Leaderboard rows: clean and worst-case values per user, their intervals, p-values and ranks (design A8)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robench.api.threat import SURFACES
from robench.store.record import ENSEMBLE
from robench.tables.results import (
    ROW,
    Columns,
    Results,
    RowKey,
    ensembles_of,
    is_baseline,
    is_standard,
    is_undefended,
    row_of,
    threat_of,
)
from robench.tables.stats import Interval, interval

FROZEN = "frozen"
Matrix = NDArray[np.float64]


class Point(NamedTuple):
    """What a table's worst case is taken over: an attack at one ε, against one target set if it promotes items."""

    label: str
    epsilon: float
    target_set: int | None


def point_of(c: Columns) -> Point:
    """Returns the attack, ε and target set of a cell."""
    return Point(c["attack_label"], c["epsilon"], c["target_set"])


@dataclass(eq=False)
class Row:
    """One row. ``clean`` and ``worst``: float64 [S, U] by seed; worst None where nothing was attacked.

    ``standard``: its attacks are the standard ensemble alone, of one version.
    ``missing``: why the row cannot be ranked, one sentence per attack of the table that no seed has together with all
    others.
    """

    key: RowKey
    columns: Columns
    seeds: list[int]
    clean: Matrix
    worst: Matrix | None
    attacks: list[str]
    planned: int
    measured: int
    adaptive: str = ""
    standard: bool = False
    flags: list[str] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    ranked: bool = True
    rank: tuple[int, int, int] | None = None
    p_value: float | None = None
    bounds: tuple[float, float] = (-math.inf, math.inf)

    @property
    def defended(self) -> bool:
        """Whether this row has a twin to be compared with."""
        return not is_undefended(self.columns)

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
    keys = dict.fromkeys(row_of(c) for c in results.cells if (c["dataset"], c["split"]) == group)
    named = table_points(results, entry, group)
    rows = (_row(results, entry, key, named) for key in keys)
    return [row for row in rows if row is not None]


def attack_names(results: Results, entry: Mapping[str, Any], group: tuple[str, str]) -> list[str]:
    """Returns the attacks that a table names, sorted; an ensemble has its version."""
    labels = {point.label for point in table_points(results, entry, group)}
    return sorted(_attack_name(results, label) for label in labels)


def is_published(results: Results, entry: Mapping[str, Any], group: tuple[str, str]) -> bool:
    """Returns whether a table can be published as a leaderboard: its attack is the standard ensemble alone."""
    return _standard_alone(results, _table_cells(results, entry, group))


def table_points(results: Results, entry: Mapping[str, Any], group: tuple[str, str]) -> set[Point]:
    """Returns the attack set of a table: what is planned for any of its models but the baseline."""
    return {point_of(c) for c in _table_cells(results, entry, group)}


def _table_cells(results: Results, entry: Mapping[str, Any], group: tuple[str, str]) -> list[Columns]:
    cells = [c for c in results.cells if (c["dataset"], c["split"]) == group and not is_baseline(c)]
    return _judged_cells(results, entry, cells)


def _judged_cells(results: Results, entry: Mapping[str, Any], cells: Sequence[Columns]) -> list[Columns]:
    """Returns the planned cells that a table takes its worst case from; if it has ensembles, only theirs."""
    same = [c for c in _attacked_cells(entry, cells) if c["status"] != "skipped"]
    return [c for c in same if c.get("kind") == ENSEMBLE] if ensembles_of(results, entry) else same


def _attacked_cells(entry: Mapping[str, Any], cells: Sequence[Columns]) -> list[Columns]:
    """Returns the cells of a table's threat model within its ε."""
    same = (c for c in cells if c["attack"] != "none" and threat_of(c) == threat_of(entry))
    return [c for c in same if c["epsilon"] <= entry["epsilon"]]


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


def _row(results: Results, entry: Mapping[str, Any], key: RowKey, named: set[Point]) -> Row | None:
    """A row, or None where its clean cells are not there or nothing of it is planned under this threat."""
    metric = entry["metric"]
    planned = [c for c in results.cells if row_of(c) == key and c["status"] != "skipped"]
    attacked = _judged_cells(results, entry, planned)
    clean = {c["seed"]: c for c in clean_cells(results, key)}
    columns = next((c for c in planned), None)
    if columns is None or not clean or (not _attacked_cells(entry, planned) and not is_baseline(columns)):
        return None
    line = is_baseline(columns)
    values: dict[int, dict[Point, Matrix]] = {seed: {} for seed in clean}
    for c in attacked:
        if c["seed"] in clean and results.ok(c) and (array := results.over_sets(c, metric)) is not None:
            values[c["seed"]][point_of(c)] = array
    # A seed that lacks an attack would have a milder worst case than the seeds and the rows that have it.
    seeds = [seed for seed in clean if line or named <= values[seed].keys()] or list(clean)
    before = [results.over_sets(clean[seed], metric) for seed in seeds]
    if any(array is None for array in before):
        return None
    known = [array for array in before if array is not None]
    common = set.intersection(*({(point.label, point.epsilon) for point in values[seed]} for seed in seeds))
    measure = results.metric(metric)
    per_user = SURFACES[entry["surface"]].each_user_alone and not measure.pooled
    higher = measure.higher_is_better
    worst = None if line else _worst([values[seed] for seed in seeds], common, known, higher, per_user)
    adaptive = ", ".join(sorted({c["adaptive"] for c in attacked if c["adaptive"]}))
    labels = sorted({_attack_name(results, label) for label, _ in common})
    expected = [c for c in planned if c["attack"] == "none" or c in attacked]
    measured = sum(results.ok(c) for c in expected)
    stack, bounds = np.stack(known), measure.bounds
    row = Row(key, columns, seeds, stack, worst, labels, len(expected), measured, adaptive, bounds=bounds)
    labels_of_row = {label for label, _ in common}
    row.standard = _standard_alone(results, [c for c in attacked if c["attack_label"] in labels_of_row])
    row.missing = [] if line else _missing(named, {seed: set(values[seed]) for seed in seeds})
    # An attack made elsewhere (A4: "frozen") may have missed this pipeline: it says nothing about its rank.
    row.ranked = worst is not None and not row.missing and not any(c["adaptive"] == FROZEN for c in attacked)
    return row


def _missing(named: set[Point], measured: Mapping[int, set[Point]]) -> list[str]:
    """Returns which attacks of the table some of these seeds lack: ``pgd ε=0.05 is missing in seeds 0, 1, 2``."""
    groups: dict[tuple[str, int | None, tuple[int, ...]], list[float]] = {}
    for point in sorted(named, key=lambda p: (p.label, p.target_set or 0, p.epsilon)):
        seeds = tuple(sorted(seed for seed, points in measured.items() if point not in points))
        if seeds:
            groups.setdefault((point.label, point.target_set, seeds), []).append(point.epsilon)
    sentences = []
    for (label, target_set, seeds), epsilons in groups.items():
        several = len({p.target_set for p in named if p.label == label}) > 1
        where = f" on target set {target_set}" if several else ""
        verb = "is" if len(epsilons) == 1 else "are"
        listed = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        sentences.append(f"{label} ε={', '.join(f'{e:g}' for e in epsilons)}{where} {verb} missing in {listed}")
    return sentences


def _attack_name(results: Results, label: str) -> str:
    """Returns the attack as a table names it: an ensemble by its name and version, others by their label."""
    same = [c for c in results.cells if c["attack_label"] == label and c.get("kind") == ENSEMBLE]
    if not same:
        return label
    version = _version(results, same)
    return str(same[0]["attack"]) if version is None else f"{same[0]['attack']}@{version}"


def _standard_alone(results: Results, cells: Sequence[Columns]) -> bool:
    """Returns whether these cells are all under the standard ensemble, of one known version."""
    names = {_attack_name(results, c["attack_label"]) for c in cells}
    return len(names) == 1 and all(map(is_standard, cells)) and _version(results, cells) is not None


def _version(results: Results, cells: Sequence[Columns]) -> Any:
    """Returns the version of an ensemble's list of attacks, from the first of its records that has one, or None."""
    parts = (results.records.get(c["cell"], {}).get("spec", {}).get("attack") or {} for c in cells)
    versions = (part.get("config", {}).get("version") for part in parts)
    return next((version for version in versions if version is not None), None)


def _worst(
    values: Sequence[Mapping[Point, Matrix]],
    common: set[tuple[str, float]],
    clean: list[Matrix],
    higher: bool,
    per_user: bool,
) -> Matrix | None:
    """Returns the worst case [S, U]: per user over clean and all attacks, or the single attack with the worst mean.

    Args:
        values: per seed, the values [U] of each attack.
        common: the attacks (label, ε) that all seeds have.
        clean: per seed, the clean values [U].
        higher: whether a higher value is better.
        per_user: whether each user is attacked alone.
    """
    whole = [
        np.stack([np.mean([of[p] for p in of if (p.label, p.epsilon) == attack], axis=0) for of in values])
        for attack in sorted(common)
    ]
    if not whole:
        return None
    if per_user:
        stacked = np.stack([np.stack(clean), *whole])
        worst: Matrix = stacked.min(0) if higher else stacked.max(0)
        return worst
    pick = min if higher else max
    defined = [array for array in whole if not np.isnan(array).all()]
    return pick(defined, key=lambda m: float(np.nanmean(m))) if defined else None


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
