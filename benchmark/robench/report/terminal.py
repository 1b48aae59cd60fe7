"""The leaderboard on a terminal."""

from __future__ import annotations

from rich.console import Console, JustifyMethod
from rich.table import Table

from robench.report.blocks import Grid
from robench.report.leaderboard import clean_grids, leaderboard_grid, title_of
from robench.report.numbers import bounded, bounds, defense, placed
from robench.tables.build import Tables


def print_leaderboard(tables: Tables, console: Console) -> None:
    """Prints every table, the clean values that are in none of them, and the verdicts on poisoning."""
    for table in tables.leaderboard:
        _print(console, f"{title_of(table)} ({table.title})", leaderboard_grid(table))
    for title, grid in clean_grids(tables):
        _print(console, title, grid)
    if tables.poisoning:
        _print(console, "Poisoning", _poisoning_grid(tables), justify="center")


def _print(console: Console, title: str, grid: Grid, justify: JustifyMethod = "left") -> None:
    table = Table(*grid.head, title=title, title_justify=justify)
    for line in grid.body:
        table.add_row(*line)
    console.print(table)


def _poisoning_grid(tables: Tables) -> Grid:
    head = ["model", "defence", "attack", "metric", "effect", "null control", "verdict"]
    body = [
        [
            row.key.model_label,
            defense(row.key),
            f"{row.attack_label} ε={row.epsilon:g}",
            str(row.metric),
            bounded(row.effect),
            bounds(row.control),
            row.verdict or "–",
        ]
        for row in tables.poisoning
    ]
    return placed([row.key for row in tables.poisoning], head, body)
