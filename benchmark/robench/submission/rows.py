"""Names the rows of ranking tables, so that claims and boards can refer to them."""

from __future__ import annotations

from typing import NamedTuple

from robench.report.numbers import format_victim
from robench.tables.build import Tables
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable


class RowName(NamedTuple):
    """The name of a row: its table and its victim.

    Two boards with the same row give it the same name.
    """

    dataset: str
    split: str
    threat: tuple[str, ...]
    epsilon: float
    metric: str
    model: str
    defence: str
    weight: float
    train_epsilon: float | None


def name_row(table: LeaderboardTable, row: LeaderboardRow) -> RowName:
    """Returns the name of a row."""
    threat, key = table.threat, row.key
    words = (threat.stage, threat.surface, threat.norm, threat.scale, threat.goal, str(threat.k))
    victim = (key.model_label, key.defense_label, float(key.lambda_), key.train_epsilon)
    return RowName(table.dataset, table.split, words, table.epsilon, str(table.metric), *victim)


def named_rows(tables: Tables) -> dict[RowName, tuple[LeaderboardTable, LeaderboardRow]]:
    """Returns the rows of all ranking tables with their tables, by name."""
    return {name_row(table, row): (table, row) for table in tables.leaderboard for row in table.rows}


def describe_row(table: LeaderboardTable, row: LeaderboardRow) -> str:
    """Returns a readable description of a row, with its table."""
    threat = table.threat
    under = f"{table.metric} under {threat.surface}, {threat.norm}, {threat.goal}, ε ≤ {table.epsilon:g}"
    return f"{format_victim(row.key)} ({table.dataset}, {table.split}: {under})"
