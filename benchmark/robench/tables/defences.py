"""Lists the settings that each label of a defence stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robench.tables.results import Results


@dataclass(frozen=True)
class DefenceRow:
    """One defence to which a label refers.

    Args:
        defense_label: the label of the defence in tables.
        defense: the identity of the defence.
        settings: all settings except the weight λ of the clean loss.
        models: the labels of the defended models.
    """

    defense_label: str
    defense: str
    settings: Mapping[str, Any]
    models: tuple[str, ...]


def build_defence_rows(results: Results) -> list[DefenceRow]:
    """Returns one row per defence and label, in the order of the plan.

    If a label refers to several defences or settings, it has several rows. Defences without records have no row.
    """
    kinds: list[tuple[str, str, Mapping[str, Any]]] = []
    models: list[list[str]] = []
    for cell in results.cells:
        record, key = results.records.get(cell.cell), cell.key
        if not key.defended or record is None:
            continue
        config = record["spec"]["victim"]["defense"]["config"]
        kind = key.defense_label, key.defense, {name: value for name, value in config.items() if name != "lambda"}
        if kind not in kinds:
            kinds.append(kind)
            models.append([])
        labels = models[kinds.index(kind)]
        if key.model_label not in labels:
            labels.append(key.model_label)
    return [DefenceRow(*kind, tuple(labels)) for kind, labels in zip(kinds, models, strict=True)]
