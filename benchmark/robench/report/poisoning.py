"""Builds the section that compares poisonings with their null control."""

from __future__ import annotations

from robench.report.blocks import Section
from robench.report.numbers import (
    build_grid,
    format_attack,
    format_bounds,
    format_defense,
    format_interval,
    format_number,
)
from robench.tables.build import Tables

TEXT = (
    "The verdict tests the differences between poisoned victims and their clean twins, over seeds and over users (or "
    "over promoted items). The null control shows what retraining with other seeds does by itself. "
    "One seed gives no verdict."
)


def build_poisoning_section(tables: Tables) -> Section | None:
    """Returns the section on poisoning, or None if no victim was poisoned."""
    if not tables.poisoning:
        return None
    head = ["model", "defence", "attack", "ε", "metric", "before", "after", "effect", "null control", "verdict"]
    body = [
        [
            row.key.model_label,
            format_defense(row.key),
            *format_attack(row.attack_label, row.epsilon),
            str(row.metric),
            format_number(row.before),
            format_number(row.after),
            format_interval(row.effect),
            format_bounds(row.control),
            row.verdict or "–",
        ]
        for row in tables.poisoning
    ]
    text = TEXT
    alike = dict.fromkeys(str(row.metric) for row in tables.poisoning if row.alike)
    if alike:
        text += (
            f" Rows of {', '.join(alike)} say how alike two lists are (higher is more alike, 1 is the same list): "
            "`before` for the clean lists of two seeds, `after` for a poisoned list and its clean twin of the same "
            "seed. Only a fall counts: poisoning moved the lists further than retraining does."
        )
    keys = [row.key for row in tables.poisoning]
    return Section("Poisoning against its null control", [text, build_grid(keys, head, body)])
