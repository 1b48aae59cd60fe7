"""Builds the section on the worst groups of users and of held-out items."""

from __future__ import annotations

from robench.report.blocks import Section
from robench.report.numbers import build_grid, format_attack, format_defense, format_interval
from robench.tables.build import Tables

TEXT = (
    "Users are divided into thirds by the length of their history (activity), and by the training interactions of "
    "their held-out item (popularity). An item without training interactions is cold. The table shows the group with "
    "the lowest value of each row. All groups are in leaderboard.json."
)


def build_slices_section(tables: Tables) -> Section | None:
    """Returns the section on the worst groups, or None if no groups are known."""
    worst = [row for row in tables.slices if row.worst]
    if not worst:
        return None
    head = ["model", "defence", "attack", "ε", "metric", "slice", "worst group", "users", "value"]
    body = [
        [
            row.key.model_label,
            format_defense(row.key),
            *format_attack(row.attack_label, row.epsilon),
            str(row.metric),
            row.slice,
            row.group,
            str(row.users),
            format_interval(row.value),
        ]
        for row in worst
    ]
    return Section("Worst groups of users and items", [TEXT, build_grid([row.key for row in worst], head, body)])
