"""Builds the rows of a table before they are ranked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from robench.api.data import FloatArray
from robench.api.metric import Measure
from robench.api.surfaces import SURFACES
from robench.spec import CellRow, RowKey
from robench.store.plan_file import PlannedTable
from robench.tables.attack_set import AttackSet, Point, make_point, select_attacked_cells, select_judged_cells
from robench.tables.best_known import Reference, find_best_known
from robench.tables.results import Results, is_baseline
from robench.tables.stats import Interval, compute_interval
from robench.tables.units import are_items, average_users, drop_repeats, read_values
from robench.tables.worst_case import Attack, compute_worst

FROZEN = "frozen"
BySet = dict[int, FloatArray]  # values by target set


@dataclass(frozen=True)
class Flag:
    """A warning that is computed from the cells of a row.

    Args:
        flag: the name in the column ``flags``.
        why: a sentence that explains the flag.
        numbers: the numbers from which the flag was computed.
    """

    flag: str
    why: str
    numbers: Mapping[str, float | str]


@dataclass(eq=False)
class Row:
    """One row of a table.

    Args:
        key: the data and the victim, without the seed.
        baseline: whether the model is the baseline that other models must beat. Such a row is not ranked.
        seeds: the seeds, in the order of the arrays.
        clean: the clean value of each seed and unit, float64 [seeds, units]. A unit is a user, or a target item if the
            metric is about target items.
        worst: the worst case of each seed and unit, float64 [seeds, units]. The value is None for the baseline, or if
            no attack was measured in all seeds.
        attacks: the names of the attacks over which the worst case is taken.
        planned: the number of planned cells that the row uses.
        measured: the number of these cells that were measured.
        users: the number of users that were measured.
        items: whether a unit is a target item.
        bounds: the bounds of the metric.
        adaptive: the distinct values of ``Attack.adaptive`` among the row's attacks, separated by commas.
        missing: sentences about the attacks of the table that some seeds lack. If there are any, the row cannot be
            ranked.
        notes: the flags with their numbers.
        ranked: whether the row may have a rank.
        blind: whether the attacks may have hurt the row's victims less than they could. Such a row has no rank, no
            p-value and no verdict.
        rank: the rank, the best rank and the worst rank that the data allow.
        p_value: the p-value of the difference from the undefended twin, or None. See ``rank_rows``.
        verdict: how the row compares with its undefended twin, or an empty string. See ``rank_rows``.
        by_shift: whether rows are compared by their shift, the worst case less the clean value. See ``uses_shift``.
        best_known: the worst case over the attacks and the external attacks, float64 [seeds, units], or None if there
            are none. No rank depends on it.
    """

    key: RowKey
    baseline: bool
    seeds: list[int]
    clean: FloatArray
    worst: FloatArray | None
    attacks: list[str]
    planned: int
    measured: int
    users: int
    items: bool = False
    bounds: tuple[float, float] = (-math.inf, math.inf)
    adaptive: str = ""
    missing: list[str] = field(default_factory=list)
    notes: list[Flag] = field(default_factory=list)
    ranked: bool = True
    blind: bool = False
    rank: tuple[int, int, int] | None = None
    p_value: float | None = None
    verdict: str = ""
    by_shift: bool = False
    best_known: FloatArray | None = None

    @property
    def compared(self) -> FloatArray | None:
        """The values by which rows are ranked and tested, float64 [seeds, units].

        The result is None if there is no worst case.
        """
        return self.worst - self.clean if self.by_shift and self.worst is not None else self.worst

    @property
    def reach(self) -> tuple[float, float]:
        """The smallest and the largest possible shift."""
        return self.bounds[0] - self.bounds[1], self.bounds[1] - self.bounds[0]

    def shift_interval(self) -> Interval | None:
        """Returns the mean shift with its interval, or None.

        The result is None if rows are not compared by their shift, or without a worst case.
        """
        return compute_interval(self.compared, self.reach) if self.by_shift and self.compared is not None else None

    @property
    def defended(self) -> bool:
        """True if the row's victims have a defence."""
        return self.key.defended

    @property
    def flags(self) -> str:
        """The names of the flags without repeats, separated by semicolons."""
        return "; ".join(dict.fromkeys(note.flag for note in self.notes))

    def clean_interval(self) -> Interval:
        """Returns the mean clean value with its interval."""
        return compute_interval(self.clean, self.bounds)

    def worst_interval(self) -> Interval | None:
        """Returns the mean worst case with its interval, or None if there is none."""
        return None if self.worst is None else compute_interval(self.worst, self.bounds)

    def best_known_mean(self) -> float | None:
        """Returns the mean of ``best_known``, or None.

        The result is None if no external attack is stronger than the worst case.
        """
        if self.best_known is None or self.worst is None:
            return None
        best = compute_interval(self.best_known, self.bounds).mean
        return None if best == compute_interval(self.worst, self.bounds).mean else best

    def distrust(self) -> None:
        """Marks the row as blind, so that it gets no rank, no p-value and no verdict."""
        self.ranked, self.blind = False, True

    def hits(self, results: Results, k: int) -> float:
        """Returns the number of users with a held-out item in the clean top k.

        The number is averaged over seeds.
        """
        counts = []
        for cell in results.clean_cells(self.key):
            outcome = results.outcome(cell)
            counts.append(int((outcome.per_user_sum((outcome.ranks <= k).astype(float)) > 0).sum()))
        return float(np.mean(counts)) if counts else 0.0


def compute_drop(clean: Interval, worst: Interval | None) -> float | None:
    """Returns 1 − worst / clean, or None if this value is undefined.

    The value is undefined if the worst case is missing or NaN, or if the clean value is 0.
    """
    if worst is None or not clean.mean or math.isnan(worst.mean):
        return None
    return 1 - worst.mean / clean.mean


def build_rows(results: Results, table: PlannedTable, place: tuple[str, str], attacks: AttackSet) -> list[Row]:
    """Returns the rows of a table for one data set and split.

    Args:
        results: the results of the folder.
        table: the table.
        place: the data set and the split.
        attacks: the attacks of the table.
    """
    rows = (_attacked_row(results, table, key, attacks) for key in results.by_row if key.place == place)
    return [row for row in rows if row is not None]


def uses_shift(results: Results, table: PlannedTable) -> bool:
    """Returns whether the rows of a table are compared by their shift.

    This is the case if the attack adds fake users and the metric is about target items. A target may be near the top of
    a model's lists without any attack. The shift does not count this clean rank against the model.
    """
    return table.threat.stage == "train" and are_items(results, table.metric)


def compute_own_weights(results: Results, key: RowKey) -> dict[str, float]:
    """Returns the weights by which a defence's own paper would express λ, by name.

    An example is ``lambda_apr`` for APR. The weights are read from the reports of the fits, and averaged over seeds.
    """
    fits = [results.record(cell).get("fit") or {} for cell in results.clean_cells(key)]
    names = dict.fromkeys(name for fit in fits for name in fit if name.startswith("train_lambda_"))
    return {n.removeprefix("train_"): float(np.mean([fit[n] for fit in fits if n in fit])) for n in names}


def build_clean_row(results: Results, key: RowKey, measure: Measure) -> Row | None:
    """Returns a row with clean values only, or None.

    The result is None if no clean cell was measured, or if the measure does not apply to a measured clean cell.
    """
    planned = [cell for cell in results.by_row[key] if cell.status != "skipped" and cell.clean]
    cells = results.clean_cells(key)
    values = [array for cell in cells if (array := results.over_sets(cell, measure)) is not None]
    if not values or len(values) < len(cells):
        return None
    seeds, bounds = [cell.seed for cell in cells], results.metric(measure).bounds
    clean, counts = np.stack(values), (len(planned), len(cells))
    units = drop_repeats(results, measure, clean)
    return Row(key, is_baseline(cells[0]), seeds, units, None, [], *counts, clean.shape[1], bounds=bounds)


def _attacked_row(results: Results, table: PlannedTable, key: RowKey, attacks: AttackSet) -> Row | None:
    """Returns a row with its worst case, or None if the row has nothing to show.

    A row is shown if it has a measured clean cell and an attack that is planned under the table's threat model. The
    baseline needs only a clean cell. The metric of the table must also have a clean value for every seed of the row.
    """
    planned = [cell for cell in results.by_row[key] if cell.status != "skipped"]
    clean = {cell.seed: cell for cell in results.clean_cells(key)}
    baseline = any(map(is_baseline, planned))
    if not clean or not (select_attacked_cells(table, planned) or baseline):
        return None
    judged = select_judged_cells(results, table, planned)
    values = _values(results, table.metric, judged, list(clean))
    # A seed without some attack would have a milder worst case than other seeds and rows.
    seeds = [seed for seed in clean if baseline or attacks.points <= values[seed].keys()] or list(clean)
    common = set.intersection(*({(point.label, point.epsilon) for point in values[seed]} for seed in seeds))
    attacked = [_by_attack(values[seed], common) for seed in seeds]
    metric, items = results.metric(table.metric), are_items(results, table.metric)
    sets = _common_sets(attacked) if items else None
    if items and sets is None:
        common = set()
    before = [array for seed in seeds if (array := _clean(results, clean[seed], table.metric, sets)) is not None]
    if len(before) < len(seeds):
        return None
    worst = best = None
    if not baseline:
        user_by_user = SURFACES[table.threat.surface].each_user_alone and not metric.pooled
        joined = [{attack: _join(of, sets) for attack, of in part.items()} for part in attacked]
        high = metric.prefers_high(table.threat)
        worst = compute_worst(joined, sorted(common), before, user_by_user=user_by_user, high=high)
        if worst is not None:
            wanted = Reference(table.metric, seeds, worst, sets, user_by_user, high)
            best = find_best_known(results, select_attacked_cells(table, planned), wanted)
    missing = [] if baseline else attacks.missing({seed: values[seed] for seed in seeds})
    frozen = any(cell.adaptive == FROZEN for cell in judged)
    expected = [cell for cell in planned if cell.clean or cell in judged]
    return Row(
        key,
        baseline,
        seeds,
        drop_repeats(results, table.metric, _of_units(np.stack(before), items=items)),
        None if worst is None else drop_repeats(results, table.metric, _of_units(worst, items=items)),
        sorted({attacks.names.get(label, label) for label, _ in common}),
        len(expected),
        sum(map(results.ok, expected)),
        before[0].shape[1],
        items,
        metric.bounds,
        ", ".join(sorted({cell.adaptive for cell in judged if cell.adaptive})),
        missing,
        # A "frozen" attack was made against another pipeline and may do little harm here. So the row has no rank.
        ranked=worst is not None and not missing and not frozen,
        blind=frozen,
        by_shift=uses_shift(results, table),
        best_known=None if best is None else drop_repeats(results, table.metric, _of_units(best, items=items)),
    )


def _values(
    results: Results, measure: Measure, cells: Sequence[CellRow], seeds: Sequence[int]
) -> dict[int, dict[Point, FloatArray]]:
    """Returns the values under every measured attack, by seed and point.

    The values are float64 [targets, users]. ``read_values`` explains the axes.
    """
    values: dict[int, dict[Point, FloatArray]] = {seed: {} for seed in seeds}
    for cell in cells:
        if cell.seed in values and results.ok(cell) and (array := read_values(results, cell, measure)) is not None:
            values[cell.seed][make_point(cell)] = array
    return values


def _by_attack(values: Mapping[Point, FloatArray], common: set[Attack]) -> dict[Attack, BySet]:
    """Groups the values of one seed by attack and target set.

    Only attacks that all seeds have are included.
    """
    groups: dict[Attack, BySet] = {attack: {} for attack in common}
    for point in sorted(values, key=lambda point: point.target_set or 0):
        if (point.label, point.epsilon) in common:
            groups[point.label, point.epsilon][point.target_set or 0] = values[point]
    return groups


def _common_sets(attacked: Sequence[Mapping[Attack, BySet]]) -> list[int] | None:
    """Returns the target sets that every attack of every seed has.

    The result is None if there are no such sets.
    """
    sets = [set(of) for part in attacked for of in part.values()]
    return sorted(set.intersection(*sets)) or None if sets else None


def _join(of: BySet, sets: Sequence[int] | None) -> FloatArray:
    """Joins the values of several target sets, float64 [targets, users].

    The items of all sets are units. If there are no items, the values are averaged over the sets.

    Args:
        of: the values of one attack, by target set.
        sets: the sets to join, or None for the average.
    """
    return np.mean(list(of.values()), axis=0) if sets is None else np.concatenate([of[number] for number in sets])


def _clean(results: Results, cell: CellRow, measure: Measure, sets: Sequence[int] | None) -> FloatArray | None:
    """Returns the clean values, float64 [targets, users], or None if there are none.

    Target sets matter only if the measure is about target items.

    Args:
        results: the results of the folder.
        cell: the clean cell.
        measure: the measure.
        sets: the target sets, or None for all sets.
    """
    if not are_items(results, measure):
        return read_values(results, cell, measure)
    parts = [read_values(results, cell, measure, number) for number in (results.sets() if sets is None else sets)]
    whole = [part for part in parts if part is not None]
    return np.concatenate(whole) if whole else None


def _of_units(values: FloatArray, *, items: bool) -> FloatArray:
    """Returns the value of each unit, float64 [seeds, units].

    Args:
        values: the values of targets and users, float64 [seeds, targets, users].
        items: whether the units are targets. If so, the value of a target is the mean over users. Otherwise, the units
            are users, and ``values`` has a single target.
    """
    return average_users(values) if items else values[:, 0]
