"""Reads the values of cells by seed and unit, as the statistics need them.

Usually, a unit is a user. If a metric is about target items, a unit is a target item, because these items are a sample
too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from robench.api.data import FloatArray
from robench.api.metric import Measure
from robench.spec import CellRow
from robench.tables.results import Results

Pair = tuple[FloatArray, FloatArray]


def are_items(results: Results, measure: Measure) -> bool:
    """Returns whether the units of a measure are target items."""
    return results.metric(measure).needs == "targets"


def drop_repeats(results: Results, measure: Measure, values: FloatArray) -> FloatArray:
    """Returns the values, but only those of one unit for a collective metric.

    All users share the value of such a metric, so they are not a sample.

    Args:
        results: the results of the folder.
        measure: the measure of the values.
        values: the values, float64 [..., units].
    """
    return values[..., :1] if results.metric(measure).collective else values


def read_values(results: Results, cell: CellRow, measure: Measure, target_set: int | None = None) -> FloatArray | None:
    """Returns the values of a cell for each target item and user.

    The result is float64 [targets, users]. For a measure about target items, the array has one row per item. For any
    other measure, the array has a single row. The result is None if the measure does not apply to the cell.

    Args:
        results: the results of the folder.
        cell: the cell.
        measure: the measure.
        target_set: the set of the target items, or None for all sets that the cell holds.

    Raises:
        UserError: if the record used a different version of the metric.
    """
    values = results.per_user(cell, measure, target_set)
    if values is None or not are_items(results, measure):
        return None if values is None else values[None]
    return results.per_target(cell, measure, target_set)


def average_users(values: FloatArray) -> FloatArray:
    """Returns each target item's mean over the users, float64 [..., targets].

    The result is NaN for an item without a defined value.

    Args:
        values: the values, float64 [..., targets, users].
    """
    defined = ~np.isnan(values)
    count = defined.sum(-1)
    total = np.where(defined, values, 0.0).sum(-1)
    means: FloatArray = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return means


def pair_units(
    results: Results, cells: Sequence[CellRow], measure: Measure, clean_of: Callable[[CellRow], CellRow | None]
) -> Pair | None:
    """Returns the clean and the attacked values of each seed and unit.

    Both arrays are float64 [seeds, units]. Only the target sets that all seeds have are included. Values of users are
    averaged over the target sets. The result is None if no target set has a clean and an attacked value in every seed.

    Args:
        results: the results of the folder.
        cells: the attacked cells of one row.
        measure: the measure.
        clean_of: a function that returns the clean cell with which an attacked cell is compared.
    """
    seeds: dict[int, dict[int, Pair]] = {}
    for cell in sorted(cells, key=lambda cell: cell.seed):
        clean, after = clean_of(cell), read_values(results, cell, measure)
        before = None if clean is None else read_values(results, clean, measure, cell.target_set)
        if before is not None and after is not None:
            seeds.setdefault(cell.seed, {})[cell.target_set or 0] = before, after
    common = sorted(set.intersection(*map(set, seeds.values()))) if seeds else []
    if not common:
        return None
    items = are_items(results, measure)

    def join(which: int) -> FloatArray:
        whole = [[sets[number][which] for number in common] for sets in seeds.values()]
        if items:
            return np.stack([np.concatenate([average_users(part) for part in parts]) for parts in whole])
        return drop_repeats(results, measure, np.stack([np.mean(parts, axis=0)[0] for parts in whole]))

    return join(0), join(1)
