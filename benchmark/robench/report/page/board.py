"""Builds the ranking tables of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from robench.api.metric import Measure
from robench.report.blocks import Block
from robench.report.leaderboard import build_leaderboard_grid, build_leaderboard_section
from robench.report.numbers import format_number, format_victim
from robench.report.page.columns import Column, build_columns
from robench.report.page.details import Details, Point, build_details, group_points
from robench.spec import RowKey
from robench.tables.build import Tables
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable
from robench.tables.worst_cases import WorstCases

INCOMPLETE = ("incomplete:", "unranked:")  # the beginnings of the flags of rows without some of their cells


@dataclass(frozen=True)
class Line:
    """A row of a ranking table on the page.

    Args:
        cells: the texts of the columns.
        name: the model with its defence.
        complete: whether no cell of the row is missing.
        bar: the ends of the bar under the worst case, in percent of the widest bar: the attacked and the clean value.
            The tuple is empty for a row without a worst case.
        details: what the row shows when it is opened.
    """

    cells: Sequence[str]
    name: str
    complete: bool
    bar: tuple[float, ...]
    details: Details


@dataclass(frozen=True)
class Board:
    """A ranking table on the page.

    Args:
        id: the id of the element.
        title: the title of the table.
        notes: the paragraphs above the table.
        columns: the columns.
        lines: the rows.
    """

    id: str
    title: str
    notes: Sequence[Block]
    columns: Sequence[Column]
    lines: Sequence[Line] = field(repr=False)


def build_boards(tables: Tables) -> list[Board]:
    """Returns every ranking table of a folder, in order."""
    points = group_points(tables)
    further = tables.worst_cases or [WorstCases()] * len(tables.leaderboard)
    pairs = zip(tables.leaderboard, further, strict=True)
    return [_board(f"board-{n}", tables, table, more, points) for n, (table, more) in enumerate(pairs, 1)]


def _board(
    name: str, tables: Tables, table: LeaderboardTable, more: WorstCases, points: Mapping[RowKey, Sequence[Point]]
) -> Board:
    section, grid = build_leaderboard_section(table), build_leaderboard_grid(table)
    measures = [
        measure
        for measure in tables.metric_versions
        if measure != table.metric and any(measure in point.values for row in table.rows for point in points[row.key])
    ]
    widest = max((max(row.clean, row.worst or 0.0) for row in table.rows), default=0.0)
    lines = []
    for row, cells in zip(table.rows, grid.body, strict=True):
        own = points[row.key]
        lines.append(
            Line(
                [*cells, *_further_cells(table, own, measures)],
                format_victim(row.key, row.own_weights),
                not any(note.flag.startswith(INCOMPLETE) for note in row.notes),
                _bar(row, widest),
                build_details(tables, table, row, own, more),
            )
        )
    notes = section.blocks[:-1]
    return Board(name, section.title, notes, build_columns(table, measures), lines)


def _further_cells(table: LeaderboardTable, points: Sequence[Point], measures: Sequence[Measure]) -> list[str]:
    """Returns the clean and the attacked value of every further measure.

    The attacked values are those of the attack of the table that harms the metric of the table most.
    """
    clean = next((point for point in points if point.is_clean), None)
    attacked = [
        point
        for point in points
        if point.threat == table.threat and point.epsilon <= table.epsilon and table.metric in point.values
    ]
    worst = None
    if attacked:
        choose = max if table.rise else min
        worst = choose(attacked, key=lambda point: (point.values[table.metric], -point.epsilon))
    cells = []
    for measure in measures:
        cells += [format_number(None if point is None else point.values.get(measure)) for point in (clean, worst)]
    return cells


def _bar(row: LeaderboardRow, widest: float) -> tuple[float, ...]:
    if row.worst is None or widest <= 0:
        return ()
    return tuple(round(100 * max(0.0, value) / widest, 1) for value in (row.worst, row.clean))
