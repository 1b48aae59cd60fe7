"""Finds what cannot be compared in two sides and says why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from robench.api.metric import Measure
from robench.comparison.sides import Side
from robench.report.numbers import format_unit
from robench.store.plan_file import PlannedTable
from robench.tables.attack_set import AttackSet
from robench.tables.results import Results


@dataclass(frozen=True)
class Obstacle:
    """Something that cannot be compared.

    Args:
        what: the table, the row or the data.
        why: the reason in words, with the values of both sides.
    """

    what: str
    why: str


def name_table(table: PlannedTable, place: tuple[str, str]) -> str:
    """Returns the name of a table: data, metric, threat model and largest ε."""
    threat = table.threat
    attacks = f"{threat.surface}, {threat.norm}, {threat.goal}"
    return (
        f"{', '.join(place)}: {table.metric} under {attacks}, ε ≤ {table.epsilon:g}{format_unit(threat, table.epsilon)}"
    )


def find_data_obstacle(a: Side, b: Side, place: tuple[str, str], other: tuple[str, str]) -> Obstacle | None:
    """Returns an obstacle if two places hold different data, or None.

    A place without a measured cell is an obstacle too.

    Args:
        a: the first side.
        b: the second side.
        place: the data set and the split of A.
        other: the data set and the split of B.
    """
    one, two = a.data_sha256(place), b.data_sha256(other)
    what = ", ".join(place) if place == other else f"{', '.join(place)} and {', '.join(other)}"
    if len(one) == len(two) == 1 and one == two:
        return None
    if not one or not two:
        return Obstacle(what, f"no cell was measured in {a.name if not one else b.name}")
    return Obstacle(what, f"different data: sha256 {_short(one)} in A, {_short(two)} in B")


def find_version_obstacle(a: Side, b: Side, measure: Measure, what: str) -> Obstacle | None:
    """Returns an obstacle if the versions of a metric differ in the records, or None.

    The version in each record must equal the version that robench has now.
    """
    one, two = a.versions(measure), b.versions(measure)
    here = {side.results.metric(measure).version for side in (a, b)}
    if one | two <= here:
        return None
    listed = f"{_numbers(one)} in A, {_numbers(two)} in B, {_numbers(here)} in this robench"
    return Obstacle(what, f"different versions of {measure}: {listed}")


def find_attack_obstacle(
    a: Side,
    b: Side,
    table: PlannedTable,
    places: tuple[tuple[str, str], tuple[str, str]],
    sets: tuple[AttackSet, AttackSet],
) -> Obstacle | None:
    """Returns an obstacle if the sides have different attacks in a table, or None.

    The attacks also differ if they have different versions or settings.

    Args:
        a: the first side.
        b: the second side.
        table: the table.
        places: the data set and the split of each side.
        sets: the attacks of each side.
    """
    what, (one, two) = name_table(table, places[0]), sets
    if one.attacks != two.attacks:
        kind = "versions of the ensemble" if one.names.keys() == two.names.keys() else "attack sets"
        return Obstacle(what, f"different {kind}: {', '.join(one.attacks)} in A, {', '.join(two.attacks)} in B")
    if one.points != two.points:
        only = sorted(f"{point.label} ε={point.epsilon:g}" for point in one.points ^ two.points)
        return Obstacle(what, f"different attack sets: only one side has {', '.join(dict.fromkeys(only))}")
    settings, others = a.attacks(table, places[0]), b.attacks(table, places[1])
    changed = sorted(label for label in settings.keys() & others.keys() if settings[label] != others[label])
    return Obstacle(what, f"different settings of {', '.join(changed)}") if changed else None


def find_missing_tables(a: Side, b: Side) -> Iterator[Obstacle]:
    """Yields an obstacle for each table that only one side has.

    If all rows are compared and a side lacks a data set and split, one obstacle stands for all tables of this place.
    """
    for one, two in ((a, b), (b, a)):
        for place in _places(one.results, one):
            for table in one.results.plan.ranking:
                if one.key is None and place not in two.results.places:
                    yield Obstacle(", ".join(place), f"{two.name} has no such data set and split")
                    break
                if table not in two.results.plan.ranking:
                    yield Obstacle(name_table(table, place), _missing(table, two))


def _places(results: Results, side: Side) -> Iterable[tuple[str, str]]:
    return results.places if side.key is None else [side.key.place]


def _missing(table: PlannedTable, side: Side) -> str:
    """Returns why a side lacks a table: the threat model, the metric or ε."""
    same = [other for other in side.results.plan.ranking if other.threat == table.threat]
    if not same:
        return f"{side.name} has no such threat model"
    budgets = [f"{other.epsilon:g}" for other in same if other.metric == table.metric]
    if budgets:
        return f"{side.name} has this table for ε ≤ {', '.join(budgets)}"
    return f"{side.name} has this threat model for {', '.join(str(other.metric) for other in same)}"


def _short(digests: Iterable[str]) -> str:
    return ", ".join(sorted(digest[:12] for digest in digests))


def _numbers(versions: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(versions))) or "none"
