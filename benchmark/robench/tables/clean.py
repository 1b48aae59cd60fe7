"""Computes clean values of the baseline, and of rows outside the ranking tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from robench.api.codec import inline
from robench.api.data import FloatArray
from robench.api.metric import Measure, Metric
from robench.spec import RowKey
from robench.store.plan_file import PlannedTable
from robench.tables.flags import set_flags
from robench.tables.results import Results, is_baseline
from robench.tables.rows import Flag, Row, build_clean_row
from robench.tables.stats import Interval

REFERENCE = Measure("ndcg", 10)
KINDS = ("held-out", "likes", "items")


@dataclass(frozen=True)
class CleanRow:
    """The clean values of a row that no ranking table shows.

    Args:
        key: the data and the victim, without the seed.
        values: the mean of each measure, with its interval.
        seeds: the number of seeds.
        users: the number of users that were measured.
        users_hit: the number of users with a held-out item in the clean top 10, averaged over seeds.
        flags: the names of the row's flags.
        notes: the flags with their numbers.
    """

    key: RowKey = field(metadata=inline())
    values: Mapping[Measure, Interval]
    seeds: int
    users: int
    users_hit: float
    flags: str
    notes: tuple[Flag, ...]


def build_clean_rows(results: Results, shown: Sequence[RowKey]) -> list[CleanRow]:
    """Returns one row for each ``RowKey`` that no ranking table shows.

    A ``RowKey`` without clean values has no row.

    Args:
        results: the results of the folder.
        shown: the keys of the rows in ranking tables.
    """
    measures = [measure for measure in results.plan.metrics if results.metric(measure).needs in KINDS]
    rows, others = [], set(shown)
    reference = choose_reference(results)
    baselines = {place: compute_baseline_values(results, place, reference) for place in results.places}
    for key in results.by_row:
        if key not in others:
            by_measure = {m: row for m in measures if (row := build_clean_row(results, key, m)) is not None}
            if by_measure:
                rows.append(_clean_row(results, key, by_measure, reference, baselines[key.place]))
    return rows


def _clean_row(
    results: Results,
    key: RowKey,
    by_measure: Mapping[Measure, Row],
    reference: Measure | None,
    baseline: Mapping[int, FloatArray],
) -> CleanRow:
    first = (by_measure.get(reference) if reference else None) or next(iter(by_measure.values()))
    set_flags(results, first, reference, baseline)
    return CleanRow(
        key,
        {measure: row.clean_interval() for measure, row in by_measure.items()},
        len(first.seeds),
        first.users,
        first.hits(results, 10),
        first.flags,
        tuple(first.notes),
    )


def estimate_clean(results: Results, key: RowKey) -> tuple[Measure | None, Interval | None]:
    """Returns the reference measure and the mean clean value of a row.

    The value has its interval. It is None if it was not measured.
    """
    reference = choose_reference(results)
    row = None if reference is None else build_clean_row(results, key, reference)
    return reference, None if row is None else row.clean_interval()


def choose_reference(results: Results, table: PlannedTable | None = None) -> Measure | None:
    """Returns the measure that serves as the reference for comparisons.

    Attacks are compared with each other in this measure, and rows are compared with the baseline.

    The candidates are ndcg@10, the metric of the table, and the metrics of the suite, in this order. The result is the
    first candidate that the suite lists and that judges each user by the ranks of held-out items, or None. Higher
    values of this measure must be better.

    Args:
        results: the results of the folder.
        table: the table with the rows that are compared, or None.
    """
    listed = results.plan.metrics
    wanted = [measure for measure in (REFERENCE, *([table.metric] if table else [])) if measure in listed]
    return next((measure for measure in [*wanted, *listed] if is_comparable(results.metric(measure))), None)


def is_comparable(metric: Metric) -> bool:
    """Returns whether users can be compared by a metric.

    Such a metric judges each user alone by the ranks of held-out items, and higher values are better.
    """
    return metric.needs == "held-out" and metric.higher_is_better and not metric.pooled


def compute_baseline_values(
    results: Results, place: tuple[str, str], reference: Measure | None
) -> dict[int, FloatArray]:
    """Returns the clean values of the undefended baseline by seed, float64 [users].

    The result is empty if the suite has no baseline.

    Args:
        results: the results of the folder.
        place: the data set and the split.
        reference: the measure of the values. If it is None, the result is empty.
    """
    if reference is None:
        return {}
    cells = [
        cell
        for cell in results.cells
        if is_baseline(cell) and cell.key.place == place and not cell.key.defended and cell.clean
    ]
    ordered = sorted(filter(results.ok, cells), key=lambda cell: cell.seed)
    return {cell.seed: array for cell in ordered if (array := results.per_user(cell, reference)) is not None}
