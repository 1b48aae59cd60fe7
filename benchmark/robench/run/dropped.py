"""Finds measured cells that a new plan would remove from the tables of a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from robench.api.errors import UserError, counted
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.spec import Cell
from robench.store.folder import Store
from robench.store.origin import read_planned_models
from robench.suite.load import Suite, load_suite

MOST_MODELS = 8  # the largest number of models in a note


def find_dropped(cells: Iterable[Cell], store: Store) -> dict[str, str]:
    """Returns the measured cells that the stored plan has and a new plan lacks.

    Args:
        cells: the cells of the new plan.
        store: the folder of results, which may have no plan.

    Returns:
        The labels of the models, by the id of the cell.
    """
    kept = {cell.id for cell in cells}
    return {
        cell: model
        for cell, model in read_planned_models(store.folder).items()
        if cell not in kept and _is_measured(store, cell)
    }


def _is_measured(store: Store, cell: str) -> bool:
    try:
        record = store.read(cell)
    except UserError:
        return False
    return record is not None and record["status"] == "ok"


def check_overrides(
    suite: Suite, dropped: Mapping[str, str], overrides: Sequence[str], registry: Registry, where: str
) -> None:
    """Checks that ``--set`` drops no measured cell that the suite file plans.

    A run that drops such cells would replace complete rows with rows of fewer seeds, attacks or models. A change to the
    suite file may drop any cell. If the suite file is not valid without overrides, nothing is checked.

    Args:
        suite: the suite with its overrides.
        dropped: the result of ``find_dropped``.
        overrides: the values of ``--set``.
        registry: the plugins.
        where: the folder of results, for the message.

    Raises:
        UserError: if the suite file without overrides plans a dropped cell.
    """
    if not dropped or not overrides:
        return
    try:
        planned = {cell.id for cell in make_plan(load_suite(suite.file, registry, ()), registry).cells}
    except UserError:  # The file may need its overrides, such as the path of a data set.
        return
    lost = {cell: model for cell, model in dropped.items() if cell in planned}
    if lost:
        raise UserError(
            f"--set would remove {describe_dropped(lost)} from its tables",
            where=where,
            hint="give another --results, use --only to run a part, or change the suite file",
        )


def dropped_notes(dropped: Mapping[str, str]) -> list[str]:
    """Returns at most one note about measured cells that the plan no longer has."""
    if not dropped:
        return []
    return [f"no longer in the plan: {describe_dropped(dropped)}: they stay stored, and no table uses them"]


def describe_dropped(dropped: Mapping[str, str]) -> str:
    """Returns a phrase with the number of measured cells, in total and per model.

    For example: ``3 measured cells (2 of mf, 1 of lstm)``.
    """
    models: dict[str, int] = {}
    for model in dropped.values():
        models[model] = models.get(model, 0) + 1
    listed = [f"{count} of {model}" for model, count in models.items()]
    more = [f"{counted(len(listed) - MOST_MODELS, 'more model')}"] if len(listed) > MOST_MODELS else []
    return f"{counted(len(dropped), 'measured cell')} ({', '.join(listed[:MOST_MODELS] + more)})"
