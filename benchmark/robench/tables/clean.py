"""Computes the clean values of the baseline and of victims in no ranking table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from robench.api.codec import inline
from robench.api.data import FloatArray
from robench.api.metric import Measure
from robench.spec import RowKey
from robench.tables.flags import set_flags
from robench.tables.results import Results, is_baseline
from robench.tables.rows import Flag, Row, build_clean_row
from robench.tables.stats import Interval

REFERENCE = Measure("ndcg", 10)
KINDS = ("held-out", "likes")


@dataclass(frozen=True)
class CleanRow:
    """The clean values of a victim that no ranking table shows, over its seeds.

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
    """Returns one row for each row key that no ranking table shows.

    Args:
        results: the results of the folder.
        shown: the keys of the rows in ranking tables.
    """
    measures = [measure for measure in results.plan.metrics if results.metric(measure).needs in KINDS]
    rows, others = [], set(shown)
    baselines = {place: compute_baseline_values(results, place) for place in results.places}
    for key in results.by_row:
        if key not in others:
            by_measure = {m: row for m in measures if (row := build_clean_row(results, key, m)) is not None}
            if by_measure:
                rows.append(_clean_row(results, key, by_measure, baselines[key.place]))
    return rows


def _clean_row(
    results: Results, key: RowKey, by_measure: Mapping[Measure, Row], baseline: Mapping[int, FloatArray]
) -> CleanRow:
    first = by_measure.get(REFERENCE) or next(iter(by_measure.values()))
    set_flags(results, first, REFERENCE, baseline)
    return CleanRow(
        key,
        {measure: row.clean_interval() for measure, row in by_measure.items()},
        len(first.seeds),
        first.users,
        first.hits(results, 10),
        first.flags,
        tuple(first.notes),
    )


def compute_baseline_values(results: Results, place: tuple[str, str]) -> dict[int, FloatArray]:
    """Maps each seed to the clean values of the undefended baseline, float64 [U].

    The values are those of the reference measure. The result is empty if the suite lacks this measure or a baseline.
    """
    if REFERENCE not in results.plan.metrics:
        return {}
    cells = [
        cell
        for cell in results.cells
        if is_baseline(cell) and cell.key.place == place and not cell.key.defended and cell.clean
    ]
    ordered = sorted(filter(results.ok, cells), key=lambda cell: cell.seed)
    return {cell.seed: array for cell in ordered if (array := results.per_user(cell, REFERENCE)) is not None}
