"""The section on models of two stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robench.report.blocks import Section
from robench.report.numbers import defense, number, placed

if TYPE_CHECKING:
    from robench.tables.build import Tables

TEXT = (
    "A first stage chooses candidates, a second one orders them: what is no candidate, no attack on the second stage "
    "can raise. Recall: held-out items that are candidates. Reachable: promoted items that are candidates, over users "
    "without them; T-HR@10 among these alone. Unusable: answers that were empty, too long or no number, and stand last."
)


def _attack(row: dict[str, Any]) -> tuple[str, str]:
    return row["attack_label"], f"{row['epsilon']:g} ({row['norm']})"


def stages_section(tables: Tables) -> Section | None:
    """None where no model has two stages."""
    if not tables.stages:
        return None
    head = ["model", "defence", "attack", "ε", "candidates", "recall", "reachable", "T-HR@10 there", "unusable"]
    body = [
        [
            row["model_label"],
            defense(row),
            *(("–", "–") if row["attack_label"] == "none" else _attack(row)),
            number(row["candidates"], 0),
            number(row["recall@candidates"]),
            number(row["targets_among_candidates"]),
            number(row["t-hr@10_given_candidate"]),
            "–" if row["unusable"] is None else f"{row['unusable']:.2%}",
        ]
        for row in tables.stages
    ]
    return Section("Models of two stages", [TEXT, placed(tables.stages, head, body)])
