"""Summarises attacks on titles.

The summary contains the effect, the cost, and the similarity of old and new titles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from robench.api.codec import IF_SET, inline
from robench.api.metric import Measure
from robench.spec import CellRow, RowKey
from robench.tables.results import Results, grouped
from robench.tables.stats import Interval, compute_interval
from robench.tables.units import pair_units

EXAMPLES = 3


@dataclass(frozen=True)
class TitleRow:
    """The results of one title attack at one ε, over all seeds and target sets.

    Args:
        key: the data and the victim, without the seed.
        attack_label: the label of the attack.
        norm: the unit of edits: words or characters.
        goal: the goal of the attack.
        epsilon: the budget.
        metric: the measure that is reported, such as ``t-hr@10``.
        before: the mean clean value of the measure.
        after: the mean value of the measure under the attack.
        effect: the mean of the paired differences, ``after`` minus ``before``, with its interval.
        edits_mean: the mean number of edits per title. This field and the next four are None if the records lack them.
        similarity_mean: the mean similarity of old and new titles, by the host's sentence encoder.
        similarity_min: the smallest similarity in a cell, averaged over cells.
        queries: the mean number of score evaluations per cell. A scoring of n users counts as n evaluations.
        gradients: the mean number of gradients per cell. A gradient evaluation of n users counts as n gradients.
        examples: some titles of the first cell, before and after the attack.
        strongest: whether this attack moves the measure furthest towards its goal, among several attacks with this key,
            norm, goal and ε.
        filter_reach: the share of rewritten titles that a filter with 5% false alarms lets through, averaged over
            cells. It is None if the records lack it.
    """

    key: RowKey = field(metadata=inline())
    attack_label: str
    norm: str
    goal: str
    epsilon: float
    metric: Measure
    before: float
    after: float
    effect: Interval
    edits_mean: float | None
    similarity_mean: float | None
    similarity_min: float | None
    queries: float | None
    gradients: float | None
    examples: tuple[tuple[str, str], ...]
    strongest: bool = False
    filter_reach: float | None = field(default=None, metadata=IF_SET)


def build_title_rows(results: Results) -> list[TitleRow]:
    """Returns one row per ``RowKey``, title attack and ε.

    The metric is t-hr@10 if items are promoted, and ndcg@10 otherwise. If the suite lacks this metric, the suite's
    first metric of the same kind is used. If there is none, there are no rows.
    """
    groups = results.grouped(
        lambda cell: (cell.key, cell.attack_label, cell.norm, cell.goal, cell.epsilon),
        lambda cell: cell.surface == "text",
    )
    rows = [row for attacked, cells in groups.items() if (row := _title_row(results, attacked, cells)) is not None]
    rivals = grouped(rows, _contest)
    return [replace(row, strongest=_is_strongest(row, rivals[_contest(row)])) for row in rows]


def _contest(row: TitleRow) -> tuple[RowKey, str, str, float]:
    return row.key, row.norm, row.goal, row.epsilon


def _is_strongest(row: TitleRow, rivals: Sequence[TitleRow]) -> bool:
    sign = 1 if row.goal == "promote" else -1
    moved = sign * (row.after - row.before) > 0
    return moved and len(rivals) > 1 and row is max(rivals, key=lambda rival: sign * rival.after)


def _title_row(
    results: Results, attacked: tuple[RowKey, str, str, str, float], cells: Sequence[CellRow]
) -> TitleRow | None:
    measure = _measure(results, goal=attacked[3])
    values = None if measure is None else pair_units(results, cells, measure, results.clean_of)
    if measure is None or values is None:
        return None
    before, after = values
    records = [results.record(cell) for cell in cells]

    def mean(name: str) -> float | None:
        numbers = [record["achieved"][name] for record in records if name in record["achieved"]]
        return float(np.mean(numbers)) if numbers else None

    return TitleRow(
        *attacked,
        measure,
        float(np.nanmean(before)),
        float(np.nanmean(after)),
        compute_interval(after - before, (-1.0, 1.0)),
        mean("edits_mean"),
        mean("similarity_mean"),
        mean("similarity_min"),
        mean("queries"),
        mean("gradients"),
        tuple((title["before"], title["after"]) for title in records[0].get("titles", [])[:EXAMPLES]),
        filter_reach=mean("filter_reach"),
    )


def _measure(results: Results, goal: str) -> Measure | None:
    needs, usual = ("targets", Measure("t-hr", 10)) if goal == "promote" else ("held-out", Measure("ndcg", 10))
    measures = [measure for measure in results.plan.metrics if results.metric(measure).needs == needs]
    return usual if usual in measures else next(iter(measures), None)
