"""Builds the section on attacks on titles."""

from __future__ import annotations

from robench.report.blocks import Block, Bullets, Section
from robench.report.numbers import build_grid, format_defense, format_interval, format_number, format_victim
from robench.tables.build import Tables
from robench.tables.titles import TitleRow

TEXT = (
    "One rewriting serves all users. Mean over users, seeds and target sets before and after; edits per title as "
    "counted by the host; similarity is the cosine of both titles by the host's sentence encoder (mean, "
    "and the least); the cost in scored and differentiated users. The strongest of each group is in bold."
)


def build_titles_section(tables: Tables) -> Section | None:
    """Returns the section on attacks on titles, or None if no title was attacked."""
    if not tables.titles:
        return None
    head = ["model", "defence", "attack", "ε", "metric", "before", "after", "effect", "edits", "similarity"]
    head += ["queries", "gradients"]
    body = [
        [
            row.key.model_label,
            format_defense(row.key),
            f"**{row.attack_label}**" if row.strongest else row.attack_label,
            f"{row.epsilon:g} of {row.norm}",
            str(row.metric),
            format_number(row.before),
            format_number(row.after),
            format_interval(row.effect),
            format_number(row.edits_mean, 1),
            _similarity(row),
            _cost(row.queries),
            _cost(row.gradients),
        ]
        for row in tables.titles
    ]
    blocks: list[Block] = [TEXT, build_grid([row.key for row in tables.titles], head, body)]
    lines = [
        f"{format_victim(row.key)}, {row.attack_label}, ε = {row.epsilon:g}: "
        + "; ".join(f"{old} → {new}" for old, new in row.examples)
        for row in tables.titles
        if row.strongest and row.examples
    ]
    return Section("Rewritten titles", [*blocks, Bullets(lines)] if lines else blocks)


def _similarity(row: TitleRow) -> str:
    if row.similarity_mean is None:
        return "–"
    return f"{format_number(row.similarity_mean, 2)}, {format_number(row.similarity_min, 2)}"


def _cost(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
