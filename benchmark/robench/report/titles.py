"""The section on attacks on titles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robench.report.blocks import Block, Bullets, Section
from robench.report.numbers import bounded, defense, number, placed

if TYPE_CHECKING:
    from robench.tables.build import Tables

TEXT = (
    "One rewriting serves all users. Mean over users, seeds and target sets before and after; edits per title as "
    "counted by the host; similarity is the cosine of both titles by the host's sentence encoder (mean, "
    "and the least); the cost in scored and differentiated users. The strongest of each group is in bold."
)


def rewritten_section(tables: Tables) -> Section | None:
    """None where no titles were attacked."""
    if not tables.rewritten:
        return None
    head = ["model", "defence", "attack", "ε", "metric", "before", "after", "effect", "edits", "similarity"]
    head += ["queries", "gradients"]
    body = [
        [
            row["model_label"],
            defense(row),
            f"**{row['attack_label']}**" if row["strongest"] else row["attack_label"],
            f"{row['epsilon']:g} of {row['norm']}",
            row["metric"],
            number(row["before"]),
            number(row["after"]),
            bounded(row["effect"]),
            number(row["edits_mean"], 1),
            _alike(row),
            _cost(row["queries"]),
            _cost(row["gradients"]),
        ]
        for row in tables.rewritten
    ]
    blocks: list[Block] = [TEXT, placed(tables.rewritten, head, body)]
    shown = [row for row in tables.rewritten if row["strongest"] and row["examples"]]
    lines = [
        f"{row['model_label']}, {defense(row)}, {row['attack_label']}, ε = {row['epsilon']:g}: "
        + "; ".join(f"{old} → {new}" for old, new in row["examples"])
        for row in shown
    ]
    return Section("Rewritten titles", [*blocks, Bullets(lines)] if lines else blocks)


def _alike(row: dict[str, Any]) -> str:
    if row["similarity_mean"] is None:
        return "–"
    return f"{number(row['similarity_mean'], 2)}, {number(row['similarity_min'], 2)}"


def _cost(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
