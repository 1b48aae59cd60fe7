"""Pairs the rows of two sides, or says why they cannot be paired."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from robench.api.data import FloatArray, IntArray
from robench.api.errors import UserError
from robench.comparison.differences import Difference, Family, Pair, build_differences, pair_fits
from robench.comparison.obstacles import Obstacle, find_attack_obstacle, find_version_obstacle, name_table
from robench.comparison.settings import describe_settings
from robench.comparison.sides import Side
from robench.report.headline import find_reason
from robench.report.numbers import format_victim
from robench.spec import RowKey
from robench.store.plan_file import PlannedTable
from robench.tables.leaderboard import build_ranked_rows
from robench.tables.results import grouped
from robench.tables.rows import Row, build_clean_row

WITHIN = "models are ranked separately in this table: the same ε is not the same strength for two models"
Keys = tuple[RowKey, RowKey]
Places = tuple[tuple[str, str], tuple[str, str]]


class Pairs:
    """The pairs of rows in the tables that both sides have.

    Args:
        a: the first side.
        b: the second side.
        keys: the pairs of rows on the same data.
    """

    def __init__(self, a: Side, b: Side, keys: Sequence[Keys]) -> None:
        self.a, self.b, self.keys = a, b, keys
        self._obstacles: list[Obstacle] = []
        self._rows: dict[tuple[str, str], list[str]] = {}  # the names of rows by table and reason

    def obstacles(self) -> list[Obstacle]:
        """Returns the obstacles that ``clean`` and ``attacked`` have found so far.

        The rows of a table that share a reason have one entry.
        """
        rows = [Obstacle(f"{table}: {'; '.join(names)}", why) for (table, why), names in self._rows.items()]
        return [*self._obstacles, *rows]

    def clean(self) -> Iterator[Difference]:
        """Yields the differences of clean values, for the metrics of the ranking tables."""
        plan, other = self.a.results.plan, self.b.results.plan
        ranked = dict.fromkeys(table.metric for table in plan.ranking) or dict.fromkeys(plan.metrics)
        for measure in ranked:
            metric = self.a.results.metric(measure)
            if measure not in other.metrics or metric.needs == "targets":
                continue
            if obstacle := find_version_obstacle(self.a, self.b, measure, f"clean {measure}"):
                self._obstacles.append(obstacle)
                continue
            for places, some in self._by_places().items():
                pairs: list[Pair] = []
                for one, two in some:
                    first = build_clean_row(self.a.results, one, measure)
                    second = build_clean_row(self.b.results, two, measure)
                    pairs += self._pair(f"clean {measure}", (one, two), first, second, clean=True)
                family = Family(*places[0], None, None, str(measure), "clean", metric.higher_is_better)
                yield from build_differences(family, pairs)

    def attacked(self) -> Iterator[Difference]:
        """Yields the differences in the tables that both sides have."""
        for table in self.a.results.plan.ranking:
            if table in self.b.results.plan.ranking:
                for places, keys in self._by_places().items():
                    yield from self._table(table, places, keys)

    def _by_places(self) -> dict[Places, list[Keys]]:
        return grouped(self.keys, lambda keys: (keys[0].place, keys[1].place))

    def _table(self, table: PlannedTable, places: Places, keys: Sequence[Keys]) -> Iterator[Difference]:
        what = name_table(table, places[0])
        if obstacle := find_version_obstacle(self.a, self.b, table.metric, what):
            self._obstacles.append(obstacle)
            return
        try:
            (rows, attacks), (others, other_attacks) = (
                build_ranked_rows(side.results, table, place)
                for side, place in zip((self.a, self.b), places, strict=True)
            )
        except UserError as error:  # a record of another version of a metric by which attacks are compared
            self._obstacles.append(Obstacle(what, str(error)))
            return
        if all(row.worst is None for row in [*rows, *others]):
            return
        if obstacle := find_attack_obstacle(self.a, self.b, table, places, (attacks, other_attacks)):
            self._obstacles.append(obstacle)
            return
        by_key, by_other = ({row.key: row for row in some} for some in (rows, others))
        pairs: list[Pair] = []
        for one, two in keys:
            first, second = by_key.get(one), by_other.get(two)
            if first is None or second is None:
                if first is not second:
                    self._refuse(what, (one, two), f"only {'A' if second is None else 'B'} has attacks on this row")
            elif first.baseline or second.baseline:
                continue
            elif not table.threat.ranks_models and one.model_key != two.model_key:
                self._refuse(what, (one, two), WITHIN)
            elif missing := self._missing(first, second):
                self._refuse(what, (one, two), missing)
            else:
                pairs += self._pair(what, (one, two), first, second)
        shift = any(row.by_shift for row in rows)
        value = "shift" if shift else "attacked" if table.threat.goal != "untargeted" else "worst case"
        higher = self.a.results.metric(table.metric).prefers_high(table.threat)
        family = Family(*places[0], table.threat, table.epsilon, str(table.metric), value, higher)
        yield from build_differences(family, pairs)

    def _missing(self, first: Row, second: Row) -> str:
        """Returns why one or both rows lack a complete worst case, or an empty string."""
        reasons = []
        for side, row in zip((self.a, self.b), (first, second), strict=True):
            if row.missing or row.worst is None:
                reasons.append(f"{side.name} is incomplete: {row.missing[0] if row.missing else find_reason(row)}")
        return "; ".join(reasons)

    def _pair(
        self, what: str, keys: Keys, first: Row | None, second: Row | None, *, clean: bool = False
    ) -> Iterator[Pair]:
        """Yields the pair of two rows, or nothing if they cannot be paired.

        If rows have no common units or no clean cell, the reason becomes an obstacle.
        """
        if first is None or second is None:
            lacking = [side.name for side, row in zip((self.a, self.b), (first, second), strict=True) if row is None]
            self._refuse(what, keys, f"no clean value in {' and '.join(lacking)}")
            return
        values, others = (row.clean if clean else row.compared for row in (first, second))
        if values is None or others is None:
            return
        ids = [_unit_ids(side, row) for side, row in zip((self.a, self.b), (first, second), strict=True)]
        units = _common_units(values, others, *ids)
        if units is None:
            self._refuse(
                what, keys, "the rows have other target items" if first.items else "the rows have no common users"
            )
            return
        seeds, other_seeds, note = pair_fits(first.seeds, second.seeds)
        ranked = clean or (first.ranked and second.ranked)
        notes = [note, *describe_settings(self.a, self.b, keys)]
        if not ranked:
            reasons = {
                side.name: find_reason(row) for side, row in ((self.a, first), (self.b, second)) if not row.ranked
            }
            both = " and ".join(reasons)
            why = "; ".join(dict.fromkeys(reasons.values()))
            notes.append(f"no verdict, because {both} {'have' if len(reasons) > 1 else 'has'} no rank: {why}")
        for side, row in ((self.a, first), (self.b, second)):
            if row.measured < row.planned:
                notes.append(f"{side.name} is incomplete: {row.measured} of {row.planned} cells")
        if len(units[0]) < max(values.shape[1], others.shape[1]):
            notes.append("only the common users count")
        yield Pair(
            *self._names(keys),
            values[seeds][:, units[0]],
            others[other_seeds][:, units[1]],
            "targets" if first.items else "users",
            not clean and (first.blind or second.blind),
            ranked,
            [text for text in notes if text],
        )

    def _names(self, keys: Keys) -> tuple[str, str]:
        return format_victim(keys[0]), format_victim(keys[1])

    def _refuse(self, table: str, keys: Keys, why: str) -> None:
        names = self._names(keys)
        self._rows.setdefault((table, why), []).append(names[0] if names[0] == names[1] else " and ".join(names))


def _unit_ids(side: Side, row: Row) -> IntArray:
    """Returns the ids of a row's users or target items.

    The ids come from the first clean cell.
    """
    arrays = side.results.arrays(side.results.clean_cells(row.key)[0])
    return arrays["targets"] if row.items and "targets" in arrays else arrays["users"]


def _common_units(
    values: FloatArray, others: FloatArray, ids: IntArray, other_ids: IntArray
) -> tuple[IntArray, IntArray] | None:
    """Returns the positions of the units that two rows share, or None.

    The result is None if the rows share no unit, or if the ids and values differ in number.

    Args:
        values: the values of the first row, float64 [seeds, units].
        others: the values of the second row, float64 [seeds, units].
        ids: the ids of the units of the first row.
        other_ids: the ids of the units of the second row.
    """
    if np.array_equal(ids, other_ids):
        every: IntArray = np.arange(values.shape[1], dtype=np.int64)
        return (every, every) if len(every) == others.shape[1] else None
    if values.shape[1] != len(ids) or others.shape[1] != len(other_ids):
        return None
    _, first, second = np.intersect1d(ids, other_ids, return_indices=True)
    return (first.astype(np.int64), second.astype(np.int64)) if len(first) else None
