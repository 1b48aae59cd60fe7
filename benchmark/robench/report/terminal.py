"""The leaderboard on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from robench.report.numbers import bounded, defense, number, places
from robench.report.sections import clean_tables, table_lines, title_of

if TYPE_CHECKING:
    from robench.tables.build import Tables


def print_leaderboard(tables: Tables, console: Console) -> None:
    """Every table, what is clean and in none of them, and the verdicts on poisoning."""
    for table in tables.tables:
        head, body = table_lines(table)
        shown = Table(*head, title=f"{title_of(table)} ({table['title']})", title_justify="left")
        for line in body:
            shown.add_row(*line)
        console.print(shown)
    for title, head, body in clean_tables(tables):
        shown = Table(*head, title=title, title_justify="left")
        for line in body:
            shown.add_row(*line)
        console.print(shown)
    if tables.poisoning:
        where = places(tables.poisoning)
        head = ["model", "defence", "attack", "metric", "effect", "null control", "verdict"]
        shown = Table(*(["data"] if any(where) else []), *head, title="Poisoning")
        for place, row in zip(where, tables.poisoning, strict=True):
            control = f"[{number(row['control'][1])}, {number(row['control'][2])}]"
            attack = f"{row['attack_label']} ε={row['epsilon']:g}"
            told = (row["metric"], bounded(row["effect"]), control, row["verdict"] or "–")
            shown.add_row(*([place] if place else []), row["model_label"], defense(row), attack, *told)
        console.print(shown)
