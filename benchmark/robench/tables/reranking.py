"""Models of two stages: what the second one could reach at all, and which of its answers were of no use."""

from __future__ import annotations

from typing import Any

import numpy as np

from robench.tables.results import ROW, Columns, Results, row_of

MEASURED = ("candidates", "recall@candidates", "targets_among_candidates", "t-hr@10_given_candidate")
UNUSABLE = ("empty", "too_long", "not_finite")


def two_stages(results: Results) -> list[dict[str, Any]]:
    """Per row, attack and ε (clean cells too), means over seeds and target sets of what the records of models with
    candidates say; ``unusable`` is the share of the answers that could not be used, None where nothing was asked.
    """
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for c in results.cells:
        if results.ok(c) and "candidates" in (record := results.records[c["cell"]])["diagnostics"]:
            groups.setdefault((row_of(c), *_attack(c)), []).append(record)
    return [
        {
            **dict(zip(ROW, key, strict=True)),
            "attack_label": label,
            "norm": norm,
            "goal": goal,
            "epsilon": epsilon,
            **{name: _mean(records, name) for name in MEASURED},
            "unusable": _unusable(records),
        }
        for (key, label, norm, goal, epsilon), records in groups.items()
    ]


def _attack(c: Columns) -> tuple[Any, ...]:
    return tuple(c.get(name) for name in ("attack_label", "norm", "goal", "epsilon"))


def _mean(records: list[dict[str, Any]], name: str) -> float | None:
    values = [record["diagnostics"][name] for record in records if name in record["diagnostics"]]
    return float(np.mean(values)) if values else None


def _unusable(records: list[dict[str, Any]]) -> float | None:
    counts = [record.get("reading", {}) for record in records]
    asked = sum(count.get("answers", 0) for count in counts)
    return sum(count.get(name, 0) for count in counts for name in UNUSABLE) / asked if asked else None
