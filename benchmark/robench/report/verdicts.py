"""Prints verdicts and the values of groups of users, for ``robench show``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console

from robench.api.escapes import visible
from robench.report.blocks import Grid
from robench.report.leaderboard import describe_row, format_title
from robench.report.numbers import format_defense, format_number, format_rank
from robench.report.sections import write_warning
from robench.report.terminal import print_grid
from robench.spec import RowKey
from robench.tables.completeness import IncompleteModel
from robench.tables.leaderboard import LeaderboardTable
from robench.tables.slices import CellSliceRow


def print_warning(incomplete: Iterable[IncompleteModel], console: Console) -> None:
    """Prints a warning if any model has failed or missing cells."""
    if text := write_warning(list(incomplete)):
        console.print(visible(text), markup=False, highlight=False, soft_wrap=True)


def print_verdicts(tables: Iterable[LeaderboardTable], console: Console) -> None:
    """Prints the ranks, verdicts and flags of all rows."""
    for table in tables:
        body = [
            [
                format_rank(row),
                row.key.model_label,
                format_defense(row.key, row.own_weights),
                row.verdict,
                row.flags,
            ]
            for row in table.rows
        ]
        grid = Grid(["rank", "model", "defence", "verdict", "flags"], body)
        print_grid(console, f"{format_title(table)} ({table.title})", grid)


def print_row(tables: Iterable[LeaderboardTable], key: RowKey, console: Console) -> None:
    """Prints the rank, the verdict and the flags of one row, a line per table."""
    for line in _lines(tables, key):
        console.print(visible(line), markup=False, highlight=False, soft_wrap=True)


def print_cell_slices(rows: Sequence[CellSliceRow], console: Console) -> None:
    """Prints the values of the groups of users in one cell.

    Nothing is printed if there are no groups.
    """
    if not rows:
        return
    head = ["slice", "group", "users", str(rows[0].metric), ""]
    body = [[row.slice, row.group, str(row.users), format_number(row.value), "worst" * row.worst] for row in rows]
    print_grid(console, "groups of users", Grid(head, body))


def _lines(tables: Iterable[LeaderboardTable], key: RowKey) -> Iterator[str]:
    for table in tables:
        for row in table.rows:
            if row.key == key:
                yield f"{format_title(table)} ({table.title}): {describe_row(row)}"
