"""Prints the leaderboard on a terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console, JustifyMethod
from rich.table import Table

from robench.api.escapes import visible
from robench.api.terminal import say
from robench.report.blocks import Grid
from robench.report.detection import build_detection_grid
from robench.report.leaderboard import NO_ATTACKS, build_clean_grids, build_leaderboard_grid, format_title
from robench.report.numbers import build_grid, format_bounds, format_defense, format_interval
from robench.report.sections import write_warning
from robench.tables.build import Tables

ANY_WIDTH = 10_000  # columns of a terminal that is wide enough for every table
NO_CONTENT = {"", "–", "none"}  # the cells of a row without flags, p-value or defence


def print_tables(tables: Tables, folder: Path, console: Console) -> None:
    """Prints the leaderboard, and the paths of leaderboard.md and index.html."""
    print_leaderboard(tables, console)
    say(f"leaderboard: {folder / 'leaderboard.md'}")
    say(f"page: {folder / 'index.html'}")


def print_leaderboard(tables: Tables, console: Console) -> None:
    """Prints every ranking table, the other clean values, poisonings and detectors.

    If any model has failed or missing cells, a warning comes first. If the suite has no attacks, a line says so.
    """
    if tables.incomplete:
        console.print(visible(write_warning(tables.incomplete)), markup=False, highlight=False, soft_wrap=True)
    for table in tables.leaderboard:
        print_grid(console, f"{format_title(table)} ({table.title})", build_leaderboard_grid(table))
    for title, grid in build_clean_grids(tables):
        print_grid(console, title, grid)
    if tables.without_attacks:
        console.print(NO_ATTACKS)
    if tables.poisoning:
        print_grid(console, "Poisoning", _poisoning_grid(tables), justify="center")
    if tables.detection:
        print_grid(console, "Detection", build_detection_grid(tables), justify="center")


def print_grid(console: Console, title: str, grid: Grid, justify: JustifyMethod = "left") -> None:
    """Prints a table, in a narrow form if the terminal is not wide enough."""
    table = _build(title, grid, justify)
    if console.measure(table, options=console.options.update(max_width=ANY_WIDTH)).maximum > console.width:
        table = _build(title, _narrowed(grid), justify)
    console.print(table)


def _build(title: str, grid: Grid, justify: JustifyMethod) -> Table:
    table = Table(*grid.head, title=title, title_justify=justify)
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


def _poisoning_grid(tables: Tables) -> Grid:
    head = ["model", "defence", "attack", "metric", "effect", "null control", "verdict"]
    body = [
        [
            row.key.model_label,
            format_defense(row.key),
            f"{row.attack_label} ε={row.epsilon:g}",
            str(row.metric),
            format_interval(row.effect),
            format_bounds(row.control),
            row.verdict or "–",
        ]
        for row in tables.poisoning
    ]
    return build_grid([row.key for row in tables.poisoning], head, body)
