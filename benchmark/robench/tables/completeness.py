"""Finds the models for which planned cells failed or are missing."""

from __future__ import annotations

from dataclasses import dataclass

from robench.tables.results import Results, grouped


@dataclass(frozen=True)
class IncompleteModel:
    """A model with planned cells that failed or are missing.

    Args:
        model_label: the label of the model.
        planned: the number of planned cells, without skipped cells.
        lacking: the number of these cells that failed or are missing.
    """

    model_label: str
    planned: int
    lacking: int


def find_incomplete_models(results: Results) -> list[IncompleteModel]:
    """Returns the models that lack cells, in the order of the plan.

    The list is empty if the folder is complete.
    """
    planned = [cell for cell in results.cells if results.status(cell) != "skipped"]
    models = []
    for label, cells in grouped(planned, lambda cell: cell.key.model_label).items():
        lacking = sum(not results.ok(cell) for cell in cells)
        if lacking:
            models.append(IncompleteModel(label, len(cells), lacking))
    return models
