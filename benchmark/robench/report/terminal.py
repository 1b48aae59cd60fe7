"""Prints the tables of a folder on a terminal."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from robench.api.errors import UserError
from robench.api.escapes import visible
from robench.api.terminal import say
from robench.report.blocks import Block, Bullets, Grid
from robench.report.choices import Form, Shown
from robench.report.files import build_texts
from robench.report.headline import (
    NO_RANK,
    build_headline_grid,
    choose_rows,
    count_rows,
    describe_rest,
    explain_unranked,
)
from robench.report.latex import to_latex
from robench.report.leaderboard import build_clean_grids, build_leaderboard_grid, explain_missing_attacks, format_title
from robench.report.next_steps import suggest_steps
from robench.report.sections import build_sections, write_opening, write_warning
from robench.tables.build import Tables
from robench.tables.leaderboard import LeaderboardTable

ANY_WIDTH = 10_000  # columns of a terminal that is wide enough for every table
HEIGHT = 40  # the lines of one screen
NO_CONTENT = {"", "–", "none"}  # the cells of a row without flags, p-value or defence
INDENT = "  "  # before each line below the rows of a headline
DETAILS = (2, 1, 0)  # the amounts of detail of a headline, of which the first that fits is used


def print_tables(
    tables: Tables, folder: Path, console: Console, shown: Shown = Shown.HEADLINE, form: Form = Form.TEXT
) -> None:
    """Prints tables on standard output.

    In any format except text, the output is the tables in this format and nothing else.

    Args:
        tables: the tables of a folder.
        folder: the folder, whose files are named at the end of a text.
        console: the console for text.
        shown: what a text shows.
        form: the format.

    Raises:
        UserError: if ``shown`` is given together with a format other than text.
    """
    check_choices(shown, form)
    if form is not Form.TEXT:
        text = to_latex(tables) if form is Form.LATEX else build_texts(tables)[f"leaderboard.{form}"]
        sys.stdout.write(text)
        return
    {Shown.HEADLINE: print_headline, Shown.RANKING: print_leaderboard, Shown.ALL: print_sections}[shown](
        tables, console
    )
    if shown is Shown.HEADLINE:
        say(f"all tables: robench leaderboard {folder} --tables all")
    say(f"leaderboard: {folder / 'leaderboard.md'}")
    say(f"page: {folder / 'index.html'}")


def check_choices(shown: Shown, form: Form) -> None:
    """Checks ``--tables`` and ``--format``, before any work.

    Raises:
        UserError: if a format other than text is combined with a choice of tables.
    """
    if form is not Form.TEXT and shown is not Shown.HEADLINE:
        content = "the ranking tables" if form is Form.LATEX else "all of them"
        raise UserError(f"only text has a choice of tables; {form} has {content}", path="--tables")


def print_headline(tables: Tables, console: Console) -> None:
    """Prints one screen: the best rows of each table, and why others have no rank.

    If any model has failed or missing cells, a warning comes first. A suite without attacks has its clean values in
    place of ranking tables.
    """
    _print_warning(tables, console)
    most = count_rows(tables.leaderboard, HEIGHT)
    for table in tables.leaderboard:
        _print_headline_of(table, most, console)
    if not tables.leaderboard:
        _print_clean(tables, console)


def _print_headline_of(table: LeaderboardTable, most: int, console: Console) -> None:
    console.print(visible(f"{format_title(table)} ({table.title})"), markup=False, highlight=False)
    rows = choose_rows(table, most)
    if rows:
        forms = [_build_plain(build_headline_grid(table, rows, detail)) for detail in DETAILS]
        console.print(next((form for form in forms if _fits(form, console)), forms[-1]))
    unranked = [] if rows else [NO_RANK, _without_markup(suggest_steps(table))]
    for line in filter(None, [*unranked, *describe_rest(table, rows), *explain_unranked(table)]):
        for part in Text(visible(line)).wrap(console, console.width - len(INDENT)):
            console.print(f"{INDENT}{part.plain.rstrip()}", markup=False, highlight=False, soft_wrap=True)
    console.print()


def print_leaderboard(tables: Tables, console: Console) -> None:
    """Prints every row of the ranking tables, and the clean values of other rows.

    If any model has failed or missing cells, a warning comes first. If the suite has no attacks, a line says so.
    """
    _print_warning(tables, console)
    for table in tables.leaderboard:
        print_grid(console, f"{format_title(table)} ({table.title})", build_leaderboard_grid(table))
    _print_clean(tables, console)


def print_sections(tables: Tables, console: Console) -> None:
    """Prints every section of leaderboard.md."""
    _print_line(write_opening(tables), console)
    for section in build_sections(tables):
        console.print()
        _print_line(section.title, console)
        for block in section.blocks:
            _print_block(block, console)


def _print_block(block: Block, console: Console) -> None:
    if isinstance(block, Grid):
        print_grid(console, None, block)
    elif isinstance(block, Bullets):
        for line in block.lines:
            _print_line(f"- {_without_markup(line)}", console)
    else:
        _print_line(_without_markup(block), console)


def _without_markup(text: str) -> str:
    """Returns a paragraph without the markup ``**bold**`` and `` `code` ``."""
    return re.sub(r"\*\*(.+?)\*\*|`(.+?)`", lambda match: match[1] or match[2], text)


def print_grid(console: Console, title: str | None, grid: Grid) -> None:
    """Prints a table, without frames if the terminal is not wide enough."""
    narrow = _narrowed(grid)
    forms = (_build(title, grid), _build(title, narrow), _build_plain(narrow, title))
    console.print(next((form for form in forms if _fits(form, console)), forms[-1]))


def _fits(table: Table, console: Console) -> bool:
    return console.measure(table, options=console.options.update(max_width=ANY_WIDTH)).maximum <= console.width


def _build(title: str | None, grid: Grid) -> Table:
    table = Table(title=title, title_justify="left")
    return _filled(table, grid)


def _build_plain(grid: Grid, title: str | None = None) -> Table:
    """Returns a table without frames, which needs fewer lines and columns."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0), collapse_padding=True)
    table.pad_edge = table.show_edge = False
    return _filled(table, grid)


def _filled(table: Table, grid: Grid) -> Table:
    for name in grid.head:
        table.add_column(name, overflow="fold")
    for line in grid.body:
        table.add_row(*line)
    return table


def _narrowed(grid: Grid) -> Grid:
    """Returns a grid that needs less width.

    The bounds of each interval move to a new line, and columns without content are left out.
    """
    kept = [place for place, cells in enumerate(zip(*grid.body, strict=True)) if set(cells) - NO_CONTENT]
    body = [[line[place].replace(" [", "\n[") for place in kept] for line in grid.body]
    return Grid([grid.head[place] for place in kept], body)


def _print_clean(tables: Tables, console: Console) -> None:
    for title, grid in build_clean_grids(tables):
        print_grid(console, title, grid)
    if reason := explain_missing_attacks(tables):
        console.print(reason)


def _print_warning(tables: Tables, console: Console) -> None:
    if tables.incomplete:
        _print_line(write_warning(tables.incomplete), console)


def _print_line(text: str, console: Console) -> None:
    console.print(visible(text), markup=False, highlight=False, soft_wrap=True)
