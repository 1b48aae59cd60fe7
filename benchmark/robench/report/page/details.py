"""Builds the details of a row.

They are the measured values, the records, and the commands that repeat the row.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robench.api.metric import Measure
from robench.api.threat import Threat
from robench.report.attacks import format_members
from robench.report.blocks import Bullets, Grid
from robench.report.leaderboard import describe_row
from robench.report.numbers import format_flag, format_interval, format_number, format_unit
from robench.spec import CellRow, RowKey
from robench.tables.build import Tables
from robench.tables.cells import ValueRow
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable
from robench.tables.members import EnsembleRow
from robench.tables.results import grouped
from robench.tables.worst_cases import WorstCases

DIGITS = 12  # the number of digits of a digest that the page shows


@dataclass(frozen=True)
class Point:
    """The cells of one row under one attack at one ε, or its clean cells.

    Args:
        attack_label: the label of the attack, or ``none``.
        threat: the threat model, or None for clean cells.
        epsilon: the budget, which is 0 for clean cells.
        values: the mean of each measure over the cells.
        achieved: the largest budget that was spent, or None if no record states it.
        cells: the cells, ordered by seed.
    """

    attack_label: str
    threat: Threat | None
    epsilon: float
    values: Mapping[Measure, float]
    achieved: float | None
    cells: Sequence[CellRow]

    @property
    def is_clean(self) -> bool:
        """True if the cells are clean."""
        return self.threat is None


@dataclass(frozen=True)
class Details:
    """What a row shows when it is opened.

    Args:
        summary: the rank, the verdict and the flags, as ``robench show`` prints them, and the cost on clean data.
        flags: the flags with their reasons and numbers.
        values: the values under each attack, with the spent budgets.
        members: a line for each ensemble and ε.
        records: a line for each attack and ε, with the cells and the first digits of the records' sha256.
        commands: the commands that repeat the row, and that show one of its records.
    """

    summary: str
    flags: Bullets
    values: Grid
    members: Bullets
    records: Bullets
    commands: Sequence[str]


def group_points(tables: Tables) -> Mapping[RowKey, Sequence[Point]]:
    """Returns the points of every row, with the clean cells first."""
    by_row = grouped(tables.values, lambda value: value.cell.key)
    points = {key: _points(values) for key, values in by_row.items()}
    return {key: sorted(some, key=lambda point: not point.is_clean) for key, some in points.items()}


def _points(values: Sequence[ValueRow]) -> list[Point]:
    measured = (value for value in values if value.status == "ok")
    groups = grouped(measured, lambda value: (value.cell.attack_label, value.cell.threat, value.cell.epsilon))
    points = []
    for (label, threat, epsilon), rows in groups.items():
        means = {
            measure: float(np.mean([row.value for row in some if row.value is not None]))
            for measure, some in grouped(rows, lambda row: row.metric).items()
            if measure is not None and any(row.value is not None for row in some)
        }
        spent = [row.achieved_epsilon for row in rows if row.achieved_epsilon is not None]
        cells = sorted({row.cell.cell: row.cell for row in rows}.values(), key=lambda cell: cell.seed)
        points.append(Point(label, threat, epsilon, means, max(spent, default=None), cells))
    return points


@dataclass(frozen=True)
class Context:
    """What the details of all rows share.

    Args:
        suite: the name of the suite.
        points: the points of every row. See ``group_points``.
        ensembles: the ensembles of every row.
        digests: the sha256 of each record, by the id of the cell.
        places: the number of data sets.
    """

    suite: str
    points: Mapping[RowKey, Sequence[Point]]
    ensembles: Mapping[RowKey, Sequence[EnsembleRow]]
    digests: Mapping[str, str]
    places: int


def make_context(tables: Tables) -> Context:
    """Returns what the details of all rows share."""
    ensembles = grouped(tables.ensembles, lambda one: one.key)
    places = len({row.key.dataset for row in tables.rows()})
    return Context(tables.suite, group_points(tables), ensembles, tables.origin.digests, places)


def build_details(context: Context, table: LeaderboardTable, row: LeaderboardRow, more: WorstCases) -> Details:
    """Returns the details of one row of a ranking table.

    Args:
        context: what the details of all rows share.
        table: the ranking table.
        row: the row.
        more: the further values of the table.
    """
    points = context.points.get(row.key, ())
    own = [point for point in points if point.is_clean or point.threat == table.threat]
    summary = f"{describe_row(row)}."
    if (cost := more.costs.get(row.key)) is not None:
        summary += f" On clean data, {table.metric} differs from the undefended twin's by {format_interval(cost)}."
    return Details(
        summary,
        Bullets([format_flag(note) for note in row.notes]),
        _values_grid(own),
        Bullets(_member_lines(context, table, row)),
        Bullets([_record_line(point, context.digests) for point in own]),
        _commands(context, row.key, own),
    )


def _values_grid(points: Sequence[Point]) -> Grid:
    measures = list(dict.fromkeys(measure for point in points for measure in point.values))
    body = []
    for point in points:
        attack = ["clean", "–", "–"]
        if point.threat is not None:
            spent = "–" if point.achieved is None else f"{point.achieved:.4g}"
            attack = [point.attack_label, f"{point.epsilon:g}{format_unit(point.threat)}", spent]
        body.append([*attack, *(format_number(point.values.get(measure)) for measure in measures)])
    return Grid(["attack", "ε", "ε spent", *map(str, measures)], body)


def _member_lines(context: Context, table: LeaderboardTable, row: LeaderboardRow) -> list[str]:
    threat = table.threat
    wanted = (threat.surface, threat.norm, threat.scale, threat.goal)
    lines = []
    for one in context.ensembles.get(row.key, ()):
        stated = (one.threat.surface, one.threat.norm, one.threat.scale, one.threat.goal)
        if stated == wanted:
            lines.append(f"{one.attack_label}, ε = {one.epsilon:g}{format_unit(threat)}: {format_members(one)}")
    return lines


def _record_line(point: Point, digests: Mapping[str, str]) -> str:
    head = "clean" if point.threat is None else f"{point.attack_label}, ε = {point.epsilon:g}"
    cells = ", ".join(
        f"seed {cell.seed}: `{cell.cell}` ({digests.get(cell.cell, '')[:DIGITS]})" for cell in point.cells
    )
    return f"{head}: {cells}"


def _commands(context: Context, key: RowKey, points: Sequence[Point]) -> list[str]:
    conditions = {"model_label": key.model_label, "defense_label": key.defense_label, "lambda": f"{key.lambda_:g}"}
    if context.places > 1:
        conditions = {"dataset": key.dataset, **conditions}
    folder = f"results/{shlex.quote(context.suite)}"
    only = " ".join(f"--only {shlex.quote(f'{name}={value}')}" for name, value in conditions.items())
    commands = [f"robench run {folder}/suite.yaml --results again/{shlex.quote(context.suite)} {only}"]
    attacked = [point for point in points if not point.is_clean] or list(points)
    if attacked:
        commands.append(f"robench show {folder}/{attacked[-1].cells[0].cell}")
    return commands
