"""Computes the values that only the page shows beside the ranking tables.

They are the worst case of each row at every ε, and the cost of a defence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from robench.api.metric import Measure
from robench.spec import CellRow, RowKey
from robench.store.plan_file import PlannedTable
from robench.tables.attack_set import build_attack_set, has_ensembles
from robench.tables.leaderboard import LeaderboardTable
from robench.tables.results import Results
from robench.tables.rows import Row, build_rows
from robench.tables.stats import Interval, compute_interval
from robench.tables.units import pair_units

Curve = tuple[tuple[float, Interval], ...]  # budgets in ascending order, with the worst case within each


@dataclass(frozen=True)
class PageValues:
    """Values of the rows of one ranking table that the table itself does not show.

    Args:
        curves: the worst case at every ε of the threat model, by row. The first point is the clean value at ε = 0. At
            the table's ε, the point equals the row's worst case. A row without attacks has no curve.
        costs: the clean value of a defended row minus that of its undefended twin, by row. The difference is taken for
            each seed and user. Rows without a common seed have no entry.
        incomplete: the rows that lack an attack within an ε, with this ε. Their points are means over fewer attacks.
        quality: the measure of ``costs``: the metric of the table, or the suite's first metric of held-out items if the
            table is about target items. If the suite has no such metric, the value is None, and nothing has a cost.
    """

    curves: Mapping[RowKey, Curve] = field(default_factory=dict)
    costs: Mapping[RowKey, Interval] = field(default_factory=dict)
    incomplete: frozenset[tuple[RowKey, float]] = frozenset()
    quality: Measure | None = None


def build_page_values(results: Results, tables: Sequence[LeaderboardTable]) -> list[PageValues]:
    """Returns the additional values of every ranking table, in table order."""
    return [_compute_values(results, table) for table in tables]


def _compute_values(results: Results, table: LeaderboardTable) -> PageValues:
    planned, place = PlannedTable(table.threat, table.metric, table.epsilon), (table.dataset, table.split)
    curves: dict[RowKey, list[tuple[float, Interval]]] = {}
    costs: dict[RowKey, Interval] = {}
    quality = _choose_quality(results, table)
    incomplete: set[tuple[RowKey, float]] = set()
    for epsilon in _budgets(results, planned, place):
        step = replace(planned, epsilon=epsilon)
        rows = build_rows(results, step, place, build_attack_set(results, step, place))
        for row in rows:
            worst = row.worst_interval()
            if worst is not None:
                curves.setdefault(row.key, [(0.0, row.clean_interval())]).append((epsilon, worst))
        incomplete |= {(row.key, epsilon) for row in rows if row.missing}
        if epsilon == table.epsilon:
            costs = _costs(rows) if quality == table.metric else _costs_in(results, rows, quality)
    return PageValues({key: tuple(points) for key, points in curves.items()}, costs, frozenset(incomplete), quality)


def _choose_quality(results: Results, table: LeaderboardTable) -> Measure | None:
    """Returns the measure of what a defence costs on clean data."""
    if results.metric(table.metric).needs != "targets":
        return table.metric
    return next((one for one in results.plan.metrics if results.metric(one).needs == "held-out"), None)


def _budgets(results: Results, table: PlannedTable, place: tuple[str, str]) -> list[float]:
    """Returns the budgets of a table's attacks in ascending order.

    The table's own ε is always among them. Budgets below the smallest budget of the table's ensembles are left out,
    because other attacks would judge the rows there.
    """
    least = results.ensemble_budgets[table.threat] if has_ensembles(results, table) else 0.0
    cells = (cell for cell in results.cells if cell.key.place == place and cell.threat == table.threat)
    budgets = {cell.epsilon for cell in cells if cell.status != "skipped" and cell.epsilon >= max(least, 1e-12)}
    return sorted(budgets | {table.epsilon})


def _costs(rows: Sequence[Row]) -> dict[RowKey, Interval]:
    """Returns the clean value of each defended row minus that of its undefended twin."""
    twins = {row.key.model_key: row for row in rows if not row.defended}
    costs = {}
    for row in rows:
        twin = twins.get(row.key.model_key)
        if not row.defended or twin is None or row.clean.shape[1] != twin.clean.shape[1]:
            continue
        common = [seed for seed in row.seeds if seed in twin.seeds]
        if common:
            mine, other = (np.stack([one.clean[one.seeds.index(seed)] for seed in common]) for one in (row, twin))
            costs[row.key] = compute_interval(mine - other)
    return costs


def _of_seed(cells: Mapping[int, CellRow], cell: CellRow) -> CellRow | None:
    """Returns the cell with the same seed as another cell."""
    return cells.get(cell.seed)


def _costs_in(results: Results, rows: Sequence[Row], quality: Measure | None) -> dict[RowKey, Interval]:
    """Returns the costs in a measure other than the metric of the table."""
    clean = {
        row.key: {cell.seed: cell for cell in results.by_row[row.key] if cell.clean and results.ok(cell)}
        for row in rows
    }
    twins = {row.key.model_key: clean[row.key] for row in rows if not row.defended}
    costs = {}
    for row in rows:
        twin = twins.get(row.key.model_key)
        if quality is None or not row.defended or twin is None:
            continue
        pair = pair_units(results, list(clean[row.key].values()), quality, partial(_of_seed, twin))
        if pair is not None:
            costs[row.key] = compute_interval(pair[1] - pair[0])
    return costs
