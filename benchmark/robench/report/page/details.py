"""Builds the details of a row.

The details are the measured values, the records, and the commands that repeat the row.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robench.api.metric import Measure
from robench.api.threat import Threat
from robench.report.attacks import format_costs, format_member
from robench.report.blocks import Bullets, Grid
from robench.report.leaderboard import describe_row
from robench.report.numbers import format_flag_numbers, format_interval, format_number, format_unit
from robench.spec import CellRow, RowKey
from robench.tables.build import Tables
from robench.tables.cells import ValueRow
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable
from robench.tables.members import EnsembleRow
from robench.tables.page_values import PageValues
from robench.tables.results import grouped

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
    """Holds what a row of a ranking table shows when a reader opens the row.

    Args:
        summary: the rank, the verdict and the flags, as ``robench show`` prints them, and the cost on clean data.
        flags: the flags with their reasons and numbers.
        values: a line for each attack and ε, with the spent budget, the values, and the results of the ensemble.
        records: a line for each attack and ε, with the cells and the first digits of the records' sha256.
        command: the command that measures the row again.
    """

    summary: str
    flags: Bullets
    values: Grid
    records: Sequence[str]
    command: str


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


def build_details(context: Context, table: LeaderboardTable, row: LeaderboardRow, more: PageValues) -> Details:
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
        summary += f" On clean data, {more.quality} differs from the undefended twin's by {format_interval(cost)}."
    return Details(
        summary,
        Bullets([format_flag_numbers(note) for note in row.notes]),
        _values_grid(context, row.key, own),
        _record_lines(own, context.digests),
        _command(context, row.key),
    )


def _values_grid(context: Context, key: RowKey, points: Sequence[Point]) -> Grid:
    """Returns a grid with a line for each point.

    The header names the members of an ensemble, and the lines hold only the results of the members.
    """
    measures = list(dict.fromkeys(measure for point in points for measure in point.values))
    ensembles = {(one.attack_label, one.threat, one.epsilon): one for one in context.ensembles.get(key, ())}
    found = [ensembles.get((point.attack_label, point.threat, point.epsilon)) for point in points if point.threat]
    names = list(dict.fromkeys(", ".join(member.name for member in one.members) for one in found if one is not None))
    body = []
    for point in points:
        line = ["clean", "–", "–"]
        if point.threat is not None:
            spent = "–" if point.achieved is None else f"{point.achieved:.4g}"
            line = [point.attack_label, f"{point.epsilon:g}{format_unit(point.threat, point.epsilon)}", spent]
        line += [format_number(point.values.get(measure)) for measure in measures]
        one = None if point.threat is None else ensembles.get((point.attack_label, point.threat, point.epsilon))
        for members in names:
            fits = one is not None and members == ", ".join(member.name for member in one.members)
            line.append(" ".join(map(format_member, one.members)) if one is not None and fits else "–")
        if one is not None:
            to_break, broken, queries, gradients = format_costs(one)
            line += [f"{broken} of {to_break}", f"{queries} + {gradients}"]
        while line[-1] == "–":
            line.pop()  # cells at the end may be left out
        body.append(line)
    return Grid(
        ["attack", "ε", "spent", *map(str, measures), *names, *(("broken", "queries + gradients") if names else ())],
        body,
    )


def _record_lines(points: Sequence[Point], digests: Mapping[str, str]) -> list[str]:
    """Returns a line for each point, such as ``clean, seed 0: ID (SHA256)``.

    Of several lines about one attack, only the first has the attack's label and the word ``seed``.
    """
    lines, last = [], ""
    for point in points:
        label = "clean" if point.threat is None else point.attack_label
        heads = [] if point.threat is None else [f"ε {point.epsilon:g}"]
        heads = heads if label == last else [label, *heads, "seed"]
        cells = (f"{cell.seed}: {cell.cell} ({digests.get(cell.cell, '')[:DIGITS]})" for cell in point.cells)
        lines.append(f"{', '.join(heads)} {', '.join(cells)}")
        last = label
    return lines


def _command(context: Context, key: RowKey) -> str:
    conditions = {"model_label": key.model_label, "defense_label": key.defense_label, "lambda": f"{key.lambda_:g}"}
    if context.places > 1:
        conditions = {"dataset": key.dataset, **conditions}
    suite = shlex.quote(context.suite)
    only = " ".join(f"--only {shlex.quote(f'{name}={value}')}" for name, value in conditions.items())
    return f"robench run results/{suite}/suite.yaml --results again/{suite} {only}"
