"""Summarises the recall and the unusable answers of models that rerank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from robench.api.codec import inline, named
from robench.spec import RowKey
from robench.store.record import Record
from robench.tables.results import Results

UNUSABLE = ("empty", "too_long", "not_finite", "refused", "unreadable")


@dataclass(frozen=True)
class RerankingRow:
    """The results of a model that reranks candidates, clean or under one attack.

    Values are means over seeds and target sets.

    Args:
        key: the data and the victim, without the seed.
        attack_label: the label of the attack, or ``none`` for clean cells.
        norm: the norm of the threat model, or an empty string for clean cells.
        goal: the goal of the threat model, or an empty string for clean cells.
        epsilon: the budget.
        candidates: the number of candidates per user.
        recall: the share of the held-out items that are candidates.
        reachable: the share of users for whom a target item is a candidate, among users without this item.
        hits: the T-HR@10 over the users for whom a target item is a candidate.
        unusable: the share of unusable answers, or None if the model gave no answers.
    """

    key: RowKey = field(metadata=inline())
    attack_label: str
    norm: str
    goal: str
    epsilon: float
    candidates: float | None
    recall: float | None = field(metadata=named("recall@candidates"))
    reachable: float | None = field(metadata=named("targets_among_candidates"))
    hits: float | None = field(metadata=named("t-hr@10_given_candidate"))
    unusable: float | None


def build_reranking_rows(results: Results) -> list[RerankingRow]:
    """Returns one row per ``RowKey``, attack and ε, for models that rerank.

    Each row covers all seeds and target sets. Clean cells have rows too.
    """
    groups = results.grouped(
        lambda cell: (cell.key, cell.attack_label, cell.norm, cell.goal, cell.epsilon),
        lambda cell: "candidates" in results.record(cell)["diagnostics"],
    )
    rows = []
    for attacked, cells in groups.items():
        records = [results.record(cell) for cell in cells]
        rows.append(
            RerankingRow(
                *attacked,
                _mean(records, "candidates"),
                _mean(records, "recall@candidates"),
                _mean(records, "targets_among_candidates"),
                _mean(records, "t-hr@10_given_candidate"),
                _unusable(records),
            )
        )
    return rows


def _mean(records: Sequence[Record], name: str) -> float | None:
    values = [record["diagnostics"][name] for record in records if name in record["diagnostics"]]
    return float(np.mean(values)) if values else None


def _unusable(records: Sequence[Record]) -> float | None:
    counts = [record.get("reading", {}) for record in records]
    answers = sum(count.get("answers", 0) for count in counts)
    return sum(count.get(name, 0) for count in counts for name in UNUSABLE) / answers if answers else None
