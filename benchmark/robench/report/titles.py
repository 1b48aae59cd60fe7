"""Builds the section on attacks on titles."""

from __future__ import annotations

from robench.api.title_rules import TitleRules
from robench.report.blocks import Block, Bullets, Section
from robench.report.numbers import (
    build_grid,
    format_count,
    format_defense,
    format_interval,
    format_number,
    format_victim,
)
from robench.tables.build import Tables
from robench.tables.titles import TitleRow

TEXT = (
    "One rewriting serves all users. Mean over users, seeds and target sets before and after; edits per title as "
    "counted by the host; similarity is the cosine of both titles by the host's sentence encoder (mean, "
    "and the least); the cost in scored and differentiated users. The strongest of each group is in bold."
)

FILTER_TEXT = (
    "Filter reach is the share of the rewritten titles that a filter on likelihood lets through. The filter raises an "
    "alarm at 5% of the genuine titles. Rows without stealth are an upper bound, because a reader may notice their "
    "titles."
)


def build_titles_section(tables: Tables) -> Section | None:
    """Returns the section on attacks on titles, or None if no title was attacked."""
    if not tables.titles:
        return None
    filtered = any(row.filter_reach is not None for row in tables.titles)
    head = ["model", "defence", "attack", "ε", "metric", "before", "after", "effect", "edits", "similarity"]
    head += [*(["filter reach"] if filtered else []), "queries", "gradients"]
    body = [
        [
            row.key.model_label,
            format_defense(row.key),
            f"**{row.attack_label}**" if row.strongest else row.attack_label,
            f"{row.epsilon:g} of {_unit(row.norm)}",
            str(row.metric),
            format_number(row.before),
            format_number(row.after),
            format_interval(row.effect),
            format_number(row.edits_mean, 1),
            _similarity(row),
            *([format_number(row.filter_reach, 2)] if filtered else []),
            format_count(row.queries),
            format_count(row.gradients),
        ]
        for row in tables.titles
    ]
    texts = [TEXT, *([FILTER_TEXT] if filtered else [])]
    blocks: list[Block] = [*texts, build_grid([row.key for row in tables.titles], head, body)]
    lines = [
        f"{format_victim(row.key)}, {row.attack_label}, ε = {row.epsilon:g}: "
        + "; ".join(f"{old} → {new}" for old, new in row.examples)
        for row in tables.titles
        if row.strongest and row.examples
    ]
    return Section("Rewritten titles", [*blocks, Bullets(lines)] if lines else blocks)


def _unit(norm: str) -> str:
    """Returns the unit of ε, and the floor of the similarity if there is one."""
    rules = TitleRules.of(norm)
    if rules is None or rules.stealth is None:
        return norm
    return f"{rules.unit}, stealth {format_number(rules.stealth, 2)}"


def _similarity(row: TitleRow) -> str:
    if row.similarity_mean is None:
        return "–"
    return f"{format_number(row.similarity_mean, 2)}, {format_number(row.similarity_min, 2)}"
