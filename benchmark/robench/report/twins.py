"""Builds the section that compares defended models with their undefended twins."""

from __future__ import annotations

from robench.report.blocks import Block, Bullets, Grid, Section, TwinsChart
from robench.report.numbers import format_defense, format_interval, format_twins_title, name_places
from robench.tables.build import Tables
from robench.tables.results import grouped

TEXT = (
    "Accuracy, precision, recall and F1 of like/dislike are over each user's held-out items and as many fixed "
    "negatives, at p = 0.5, calibrated once per victim on clean validation items. Gain: robust less undefended "
    "under the attack, paired."
)


def build_twins_section(tables: Tables) -> Section | None:
    """Returns the section on defended models and undefended twins, or None.

    The result is None if there are no rows about twins. The section has one table for each data set, split, attack and
    ε.
    """
    if not tables.twins:
        return None
    head = ["model", "defence", "metric", "undefended: clean", "attacked", "robust: clean", "attacked", "gain", "seeds"]
    blocks: list[Block] = [TEXT]
    for title, rows in grouped(tables.twins, format_twins_title).items():
        body = [
            [
                row.key.model_label,
                format_defense(row.key),
                str(row.metric),
                *map(
                    format_interval,
                    (row.twin_clean, row.twin_attacked, row.robust_clean, row.robust_attacked, row.gain),
                ),
                f"{row.seeds}",
            ]
            for row in rows
        ]
        blocks += [f"**{title}**", Grid(head, body)]
    inverted = _inverted_lines(tables)
    blocks += ["Calibrations with a ≤ 0:", Bullets(inverted)] if inverted else []
    return Section("Robust model against its twin", blocks, TwinsChart(tables.twins))


def _inverted_lines(tables: Tables) -> list[str]:
    lines: dict[str, None] = {}
    for row, where in zip(tables.twins, name_places([row.key for row in tables.twins]), strict=True):
        place = f"{where}: " if where else ""
        for count, name in zip(row.inverted, ("none", format_defense(row.key)), strict=True):
            if count:
                head = f"{place}{row.key.model_label}, {name}"
                lines[f"{head}: {count} of {row.seeds} fits score disliked items higher."] = None
    return list(lines)
