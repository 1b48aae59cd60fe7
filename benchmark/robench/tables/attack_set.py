"""Finds the attacks of a table, and the attacks that are missing in a row.

A row with a missing attack has no rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from robench.api.surfaces import SURFACES
from robench.spec import CellRow
from robench.store.plan_file import PlannedTable
from robench.store.record import ENSEMBLE
from robench.tables.results import Results, grouped, is_baseline, is_standard


class Point(NamedTuple):
    """An attack at one ε against one set of targets.

    The worst case of a row is taken over such points.
    """

    label: str
    epsilon: float
    target_set: int | None


@dataclass(frozen=True)
class AttackSet:
    """The attacks of one table.

    Args:
        points: the attacks that are planned for at least one model of the table other than the baseline.
        names: the name that tables use for each attack, by label. The name of an ensemble includes its version.
        standard: whether the only attack is one version of the ensemble that ranks the rows of leaderboards.
        current: the name of this ensemble with its current version if the table was measured under an earlier version,
            otherwise an empty string.
    """

    points: frozenset[Point]
    names: Mapping[str, str]
    standard: bool
    current: str = ""

    @property
    def attacks(self) -> list[str]:
        """The sorted names of the attacks."""
        return sorted(set(self.names.values()))

    @property
    def title(self) -> str:
        """The title of the table: the standard ensemble, or ``custom attack set``.

        If the ensemble has a later version, the title says that the table is expired.
        """
        if not self.standard:
            return "custom attack set"
        return f"{self.attacks[0]}, expired: {self.current} is current" if self.current else self.attacks[0]

    def missing(self, measured: Mapping[int, Iterable[Point]]) -> list[str]:
        """Returns sentences about the attacks that some seeds lack.

        For example: ``pgd ε=0.05 is missing in seeds 0, 1, 2``.

        Args:
            measured: the attacks that were measured on a row, by seed.
        """
        lacking = [
            (point, seeds)
            for point in sorted(self.points, key=lambda point: (point.label, point.target_set or 0, point.epsilon))
            if (seeds := tuple(sorted(seed for seed, points in measured.items() if point not in points)))
        ]
        by_set = grouped(lacking, lambda pair: (pair[0].label, pair[0].target_set, pair[1]))
        budgets = [(key, tuple(point.epsilon for point, _ in pairs)) for key, pairs in by_set.items()]
        groups = grouped(budgets, lambda one: (one[0][0], one[1], one[0][2]))
        return [self._sentence(*group, [key[1] for key, _ in parts]) for group, parts in groups.items()]

    def _sentence(self, label: str, epsilons: tuple[float, ...], seeds: tuple[int, ...], sets: list[int | None]) -> str:
        planned = {point.target_set for point in self.points if point.label == label}
        where = "" if set(sets) == planned else f" on {_listed('target set', sets)}"
        verb = "is" if len(epsilons) == 1 else "are"
        return f"{label} ε={', '.join(f'{e:g}' for e in epsilons)}{where} {verb} missing in {_listed('seed', seeds)}"


def _listed(noun: str, numbers: Sequence[int | None]) -> str:
    """Returns numbers after their noun, such as ``seeds 0, 1``."""
    return f"{noun}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def build_attack_set(results: Results, table: PlannedTable, place: tuple[str, str]) -> AttackSet:
    """Returns the attacks of a table for one data set and split.

    Args:
        results: the results of the folder.
        table: the table.
        place: the data set and the split.
    """
    own = [cell for cell in results.cells if cell.key.place == place and not is_baseline(cell)]
    cells = select_judged_cells(results, table, own)
    names = {label: _name(results, label) for label in {cell.attack_label for cell in cells}}
    versioned = all(_version(results, label) is not None for label in names)
    standard = len(set(names.values())) == 1 and versioned and all(map(is_standard, cells))
    current = _current(results, cells[0]) if standard else ""
    return AttackSet(frozenset(map(make_point, cells)), names, standard, current)


def make_point(cell: CellRow) -> Point:
    """Returns the point of a cell: its attack, ε and target set."""
    return Point(cell.attack_label, cell.epsilon, cell.target_set)


def select_attacked_cells(table: PlannedTable, cells: Iterable[CellRow]) -> list[CellRow]:
    """Returns the cells with a table's threat model and at most its ε."""
    return [cell for cell in cells if cell.threat == table.threat and cell.epsilon <= table.epsilon]


def select_judged_cells(results: Results, table: PlannedTable, cells: Iterable[CellRow]) -> list[CellRow]:
    """Returns the planned cells from which a table takes its worst case.

    If an ensemble attacks within the table's threat model and ε, only cells of ensembles count.
    """
    planned = [cell for cell in select_attacked_cells(table, cells) if cell.status != "skipped"]
    return [cell for cell in planned if cell.kind == ENSEMBLE] if has_ensembles(results, table) else planned


def has_ensembles(results: Results, table: PlannedTable) -> bool:
    """Returns whether an ensemble attacks within a table's threat model and ε.

    If so, the table takes its worst case from ensembles alone.
    """
    return results.ensemble_budgets.get(table.threat, math.inf) <= table.epsilon


def _name(results: Results, label: str) -> str:
    """Returns the name of an attack in tables.

    The name of an ensemble is its component and version. The name of any other attack is its label.
    """
    ensembles = results.ensembles.get(label)
    if not ensembles:
        return label
    version = _version(results, label)
    return ensembles[0].attack if version is None else f"{ensembles[0].attack}@{version}"


def _current(results: Results, cell: CellRow) -> str:
    """Returns the name of a cell's ensemble with its current version.

    The string is empty if the cell was attacked by this version, or if its attack has no version.
    """
    version = _version(results, cell.attack_label)
    latest = SURFACES[cell.threat.surface].ensemble_version if cell.threat is not None else 0
    return f"{cell.attack}@{latest}" if version is not None and version < latest else ""


def _version(results: Results, label: str) -> int | None:
    """Returns the version of the ensemble with this label, or None.

    The version is read from the first record that states it.
    """
    records = [results.records[cell.cell] for cell in results.ensembles.get(label, []) if cell.cell in results.records]
    versions = ((record.get("spec", {}).get("attack") or {}).get("config", {}).get("version") for record in records)
    return next((version for version in versions if version is not None), None)
