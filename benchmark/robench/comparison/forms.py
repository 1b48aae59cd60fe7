"""Prints a comparison as text, Markdown, CSV or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from tabulate import tabulate

from robench.api.codec import encode
from robench.api.errors import UserError
from robench.api.escapes import markdown_cell, markdown_text, visible
from robench.api.metric import Measure
from robench.comparison.board import BoardComparison
from robench.comparison.differences import SAME, Difference
from robench.comparison.obstacles import name_table
from robench.report.blocks import Grid
from robench.report.choices import Form
from robench.report.files import round_numbers, to_csv
from robench.report.numbers import format_interval, format_number
from robench.report.terminal import print_grid
from robench.store.plan_file import PlannedTable
from robench.tables.results import grouped

NOTHING = "Nothing can be compared."


def check_form(form: Form) -> None:
    """Checks the format of a comparison, before any work.

    Raises:
        UserError: if a comparison has no such format.
    """
    if form is Form.LATEX:
        raise UserError("a comparison is text, md, csv or json", path="--format")


def print_comparison(comparison: BoardComparison, console: Console, form: Form = Form.TEXT) -> None:
    """Prints a comparison on standard output.

    Raises:
        UserError: if a comparison has no such format.
    """
    check_form(form)
    if form is Form.TEXT:
        _print_text(comparison, console)
    elif form is Form.MD:
        sys.stdout.write(to_markdown(comparison))
    elif form is Form.CSV:
        sys.stdout.write(to_csv(Difference, comparison.differences))
    else:
        content = round_numbers(encode(comparison))
        sys.stdout.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def to_markdown(comparison: BoardComparison) -> str:
    """Returns a comparison as Markdown."""
    parts = ["# Comparison", "", *(f"- {markdown_text(line)}" for line in _opening(comparison)), ""]
    for title, grid, notes in _tables(comparison):
        body = [[markdown_cell(cell) for cell in row] for row in grid.body]
        head = [markdown_cell(cell) for cell in grid.head]
        parts += [f"## {markdown_text(title)}", "", tabulate(body, head, tablefmt="github", disable_numparse=True), ""]
        parts += [*(f"- {markdown_text(note)}" for note in notes), *([""] if notes else [])]
    if comparison.obstacles:
        lines = (f"- {markdown_text(line)}" for line in _list_obstacles(comparison))
        parts += ["## Not comparable", "", *lines, ""]
    return "\n".join(parts).rstrip() + "\n"


def _print_text(comparison: BoardComparison, console: Console) -> None:
    for line in _opening(comparison):
        console.print(visible(line), highlight=False)
    for title, grid, notes in _tables(comparison):
        console.print()
        print_grid(console, title, grid)
        for note in notes:
            console.print(Padding(visible(note), (0, 0, 0, 2)), highlight=False)
    if comparison.obstacles:
        console.print()
        console.print("not comparable:")
        for line in _list_obstacles(comparison):
            console.print(Padding(visible(line), (0, 0, 0, 2)), highlight=False)


def _list_obstacles(comparison: BoardComparison) -> list[str]:
    """Returns one line per reason why something cannot be compared.

    A line lists everything to which the reason applies.
    """
    groups = grouped(comparison.obstacles, lambda one: one.why)
    return [f"{why}: {'; '.join(one.what for one in some)}" for why, some in groups.items()]


def _opening(comparison: BoardComparison) -> list[str]:
    """Returns lines that name both sides, and the notes about both.

    If there is no difference to show, the last line says so.
    """
    lines = [f"A: {comparison.a}", f"B: {comparison.b}", *comparison.notes]
    return lines if comparison.differences else [*lines, NOTHING]


def _tables(comparison: BoardComparison) -> list[tuple[str, Grid, list[str]]]:
    """Returns a title, a grid and notes for each table, and for each clean metric."""
    groups = grouped(comparison.differences, lambda one: (one.dataset, one.split, one.threat, one.epsilon, one.metric))
    alone = len({(one.row_a, one.row_b) for one in comparison.differences}) == 1  # the first lines name the rows
    return [(_title(rows[0]), _grid(rows, named=not alone), _notes(rows)) for rows in groups.values()]


def _title(one: Difference) -> str:
    if one.threat is None or one.epsilon is None:
        return f"{one.dataset}, {one.split}: clean {one.metric}"
    return name_table(PlannedTable(one.threat, Measure.parse(one.metric), one.epsilon), (one.dataset, one.split))


def _grid(rows: Sequence[Difference], *, named: bool) -> Grid:
    value = rows[0].value
    head = ["row", f"A: {value}", f"B: {value}", "B − A", "p", "verdict", "fits"]
    body = [
        [
            _name(one),
            format_number(one.a),
            format_number(one.b),
            format_interval(one.interval),
            format_number(one.p_value),
            _shorten(one.verdict),
            str(one.seeds),
        ]
        for one in rows
    ]
    return Grid(head, body) if named else Grid(head[1:], [line[1:] for line in body])


def _name(one: Difference) -> str:
    return one.row_a if one.row_a == one.row_b else f"{one.row_a} and {one.row_b}"


def _shorten(verdict: str) -> str:
    """Returns a verdict without the difference, which has a column of its own."""
    if verdict == SAME:
        return verdict
    word, _, rest = verdict.partition(" ")
    decides = rest.partition("; ")[2]
    return f"{word}; {decides}" if decides else word or "–"


def _notes(rows: Sequence[Difference]) -> list[str]:
    """Returns one line per note.

    A line names the rows to which the note applies, unless it applies to all rows.
    """
    groups = grouped((one for one in rows if one.note), lambda one: one.note)
    return [
        note if len(some) == len(rows) else f"{'; '.join(map(_name, some))}: {note}" for note, some in groups.items()
    ]
