"""What the labels of defences stand for."""

from __future__ import annotations

from typing import Any

from robench.tables.results import Results, is_undefended


def defenses(results: Results) -> list[dict[str, Any]]:
    """Name and settings but λ of each defence by label, in the plan's order; of one label each kind and its models."""
    found: list[dict[str, Any]] = []
    for c in results.cells:
        record = results.records.get(c["cell"])
        if is_undefended(c) or record is None:
            continue
        config = record["spec"]["victim"]["defense"]["config"]
        settings = {name: value for name, value in config.items() if name != "lambda"}
        kind = {"defense_label": c["defense_label"], "defense": c["defense"], "settings": settings}
        same = next((row for row in found if all(row[name] == value for name, value in kind.items())), None)
        if same is None:
            found.append(same := kind | {"models": []})
        if c["model_label"] not in same["models"]:
            same["models"].append(c["model_label"])
    return found
