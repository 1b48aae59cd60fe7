"""Summarises how well defences on training data detect fake users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from robench.api.data import FloatArray
from robench.spec import CellRow
from robench.store.detection import compute_roc
from robench.store.plan_file import PlannedTable
from robench.tables.attack_set import select_judged_cells
from robench.tables.results import Results


@dataclass(frozen=True)
class DetectionRow:
    """The detection of fake users by one defence under one attack.

    The numbers are means over the victims of all models, seeds and target sets. A detector sees no model, so the
    numbers depend on the model only if the attack sees it.

    Args:
        dataset: the label of the data set.
        split: the label of the split.
        defense_label: the label of the defence.
        attack_label: the label of the attack, or ``none`` for clean data.
        epsilon: the budget of the attack, or 0 for clean data.
        models: the labels of the models.
        victims: the number of victims.
        auroc: the area under the ROC curve. This field and the next four are None if no victim has a defined value.
        average_precision: the average precision.
        precision: the share of the flagged users that are fake, over the victims with a flagged user.
        recall: the share of the fake users that are flagged.
        false_alarms: the share of the real users that are flagged.
        known: whether the detector has learned from fake users of this attack.
        roc: the ROC curve, as the recall at the false alarms 0, 0.01, ..., 1. See ``compute_roc``. It is computed from
            the stored suspicion scores. The field is None if there are no fake users.
    """

    dataset: str
    split: str
    defense_label: str
    attack_label: str
    epsilon: float
    models: tuple[str, ...]
    victims: int
    auroc: float | None
    average_precision: float | None
    precision: float | None
    recall: float | None
    false_alarms: float | None
    known: bool
    roc: tuple[float, ...] | None


def build_detection_rows(results: Results) -> list[DetectionRow]:
    """Returns one row per data set, split, defence, attack and ε.

    The rows have the order of the plan. Only cells with ``detection`` in their record count. A row without an attack
    shows the false alarms on clean data.
    """
    groups = results.grouped(
        lambda cell: (*cell.key.place, cell.key.defense_label, cell.attack_label, cell.epsilon),
        lambda cell: "detection" in results.record(cell),
    )
    return [_row(results, *name, cells) for name, cells in groups.items()]


def detects(results: Results, cells: Iterable[CellRow]) -> bool:
    """Returns whether any of these cells has a defence that cleans the training data."""
    return any(results.ok(cell) and "detection" in results.record(cell) for cell in cells)


def count_filter_choices(results: Results, table: PlannedTable, cells: Iterable[CellRow]) -> int:
    """Returns how many sets of fake users an attack tried on a row's filter.

    The host counts the different sets that an attack has put through the filter of the victim's defence. It counts 0
    if the set that the attack returned is none of them. The count of an attack is the lowest count over its measured
    cells. The result is the highest count of any attack.

    Args:
        results: the results of the folder.
        table: the table. Cells that do not enter its worst case are ignored.
        cells: the cells of the row.
    """
    counts: dict[tuple[str, float], int] = {}
    for cell in select_judged_cells(results, table, cells):
        if results.ok(cell):
            choices = int(results.record(cell)["achieved"].get("filter_choices", 0))
            attack = (cell.attack_label, cell.epsilon)
            counts[attack] = min(counts.get(attack, choices), choices)
    return max(counts.values(), default=0)


def _row(
    results: Results, dataset: str, split: str, defense: str, attack: str, epsilon: float, cells: list[CellRow]
) -> DetectionRow:
    numbers: list[Mapping[str, float | None]] = [results.record(cell)["detection"] for cell in cells]

    def mean(name: str) -> float | None:
        values = [value for one in numbers if (value := one.get(name)) is not None]
        return sum(values) / len(values) if values else None

    return DetectionRow(
        dataset,
        split,
        defense,
        attack,
        epsilon,
        tuple(dict.fromkeys(cell.key.model_label for cell in cells)),
        len(cells),
        mean("auroc"),
        mean("average_precision"),
        mean("precision"),
        mean("recall"),
        mean("false_alarms"),
        any(one.get("known_attack") for one in numbers),
        _mean_roc(results, cells),
    )


def _mean_roc(results: Results, cells: Iterable[CellRow]) -> tuple[float, ...] | None:
    """Returns the mean ROC curve of the victims, or None if no victim has a curve."""
    curves = [curve for cell in cells if (curve := _roc(results, cell)) is not None]
    return tuple(np.mean(curves, axis=0).tolist()) if curves else None


def _roc(results: Results, cell: CellRow) -> FloatArray | None:
    """Returns the ROC curve of one victim.

    The result is None if there are no fake users or no stored scores.
    """
    arrays, fakes = results.arrays(cell), int(results.record(cell)["achieved"].get("fake_users", 0))
    if not fakes or "suspicion" not in arrays:
        return None
    flagged = arrays["flagged"]
    return compute_roc(arrays["suspicion"], flagged.astype(np.int8), len(flagged) - fakes)
