"""Builds the section on models that rerank candidates."""

from __future__ import annotations

from robench.report.blocks import Section
from robench.report.numbers import build_grid, format_defense, format_number
from robench.tables.build import Tables
from robench.tables.reranking import RerankingRow

TEXT = (
    "A first stage chooses candidates, a second one orders them: what is no candidate, no attack on the second stage "
    "can raise. Recall: held-out items that are candidates. Reachable: promoted items that are candidates, over users "
    "without them; T-HR@10 among these alone. Unusable: answers that were empty, too long or no number, and stand last."
)


def build_reranking_section(tables: Tables) -> Section | None:
    """Returns the section on reranking, or None if no model reranks candidates."""
    if not tables.reranking:
        return None
    head = ["model", "defence", "attack", "ε", "candidates", "recall", "reachable", "T-HR@10 there", "unusable"]
    body = [
        [
            row.key.model_label,
            format_defense(row.key),
            *_attack(row),
            format_number(row.candidates, 0),
            format_number(row.recall),
            format_number(row.reachable),
            format_number(row.hits),
            "–" if row.unusable is None else f"{row.unusable:.2%}",
        ]
        for row in tables.reranking
    ]
    return Section("Models of two stages", [TEXT, build_grid([row.key for row in tables.reranking], head, body)])


def _attack(row: RerankingRow) -> tuple[str, str]:
    if row.attack_label == "none":
        return "–", "–"
    return row.attack_label, f"{row.epsilon:g} ({row.norm})"
