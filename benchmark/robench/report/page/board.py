"""Builds the ranking tables of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from shlex import quote

from robench.api.metric import Measure
from robench.report.blocks import Block, Bullets, Grid
from robench.report.leaderboard import build_leaderboard_grid, build_leaderboard_section
from robench.report.numbers import format_number, format_victim
from robench.report.page.attacker import describe_attacker
from robench.report.page.columns import Column, build_columns
from robench.report.page.details import Context, Details, Point, build_details
from robench.tables.build import Tables
from robench.tables.examples import ExampleRow
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable
from robench.tables.page_values import PageValues

INCOMPLETE = ("incomplete:", "unranked:")  # the beginnings of the flags of rows without some of their cells


@dataclass(frozen=True)
class Line:
    """A row of a ranking table on the page.

    Args:
        cells: the texts of the columns.
        name: the model with its defence.
        complete: whether no cell of the row is missing.
        bar: the two ends of the bar under the worst case, in percent of the widest bar. They stand for the attacked and
            the clean value. The tuple is empty for a row without a worst case.
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
        attacker: sentences on what the attacker may do and wants.
        notes: the paragraphs above the table.
        columns: the columns.
        lines: the rows.
        flags: the reason for each flag that a row has.
        examples: lists of users before and after an attack.
    """

    id: str
    title: str
    attacker: str
    notes: Sequence[Block]
    columns: Sequence[Column]
    lines: Sequence[Line] = field(repr=False)
    flags: Bullets
    examples: Sequence[Example] = field(repr=False)


@dataclass(frozen=True)
class Example:
    """A user's list before and after an attack.

    Args:
        caption: the victim, the attack and the user.
        outcome: what the attack moved.
        lists: both lists, place by place.
        command: the command that shows the same user.
    """

    caption: str
    outcome: str
    lists: Grid
    command: str


def build_boards(tables: Tables, context: Context) -> list[Board]:
    """Returns every ranking table of a folder, in order.

    Args:
        tables: the tables of the folder.
        context: what the details of all rows share.
    """
    examples = tables.examples or [[] for _ in tables.leaderboard]
    return [
        _board(f"board-{number}", tables, table, more, context, [_describe_example(tables, one) for one in some])
        for number, ((table, more), some) in enumerate(zip(tables.with_page_values(), examples, strict=True), 1)
    ]


def _board(
    name: str,
    tables: Tables,
    table: LeaderboardTable,
    more: PageValues,
    context: Context,
    examples: Sequence[Example],
) -> Board:
    points = context.points
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
                build_details(context, table, row, more),
            )
        )
    notes = section.blocks[:-1]
    reasons = dict.fromkeys(f"**{note.flag}**: {note.why}." for row in table.rows for note in row.notes)
    attacker = describe_attacker(table.threat, table.epsilon)
    columns = build_columns(table, measures)
    return Board(name, section.title, attacker, notes, columns, lines, Bullets(list(reasons)), examples)


def _describe_example(tables: Tables, row: ExampleRow) -> Example:
    names = [f"{title} ({mark})" if mark else title for title, mark in (*row.before, *row.after)]
    before, after = names[: len(row.before)], names[len(row.before) :]
    body = [[str(place), *pair] for place, pair in enumerate(zip_longest(before, after, fillvalue=""), 1)]
    caption = f"User {row.user} of {format_victim(row.key)}, seed {row.seed}: {row.attack_label}, ε = {row.epsilon:g}"
    command = f"robench show results/{quote(tables.suite)}/{row.cell} --user {quote(row.user)}"
    return Example(caption, row.outcome, Grid(["place", "without the attack", "under the attack"], body), command)


def _further_cells(table: LeaderboardTable, points: Sequence[Point], measures: Sequence[Measure]) -> list[str]:
    """Returns the clean and the attacked value of every further measure.

    The attacked values come from the attack within the table's ε that harms the table's metric most.
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
