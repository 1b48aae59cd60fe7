"""Computes the worst case of a row over its attacks and its external attacks.

An external attack is an artefact that the host has scored. It changes no rank, because other rows have no such attack.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from robench.api.data import FloatArray
from robench.api.metric import Measure
from robench.spec import CellRow
from robench.tables.results import Results
from robench.tables.units import read_values
from robench.tables.worst_case import Attack, compute_worst


@dataclass(frozen=True, eq=False)
class Reference:
    """The worst case of a row, with which external attacks are compared.

    Args:
        measure: the metric of the table.
        seeds: the seeds of the row.
        worst: the worst case, float64 [seeds, targets, users].
        sets: the target sets that are joined along the targets, or None.
        user_by_user: whether each user is attacked alone and the metric has a value per user.
        high: whether a high value is good for the defender.
    """

    measure: Measure
    seeds: Sequence[int]
    worst: FloatArray
    sets: Sequence[int] | None
    user_by_user: bool
    high: bool


def find_best_known(results: Results, cells: Sequence[CellRow], reference: Reference) -> FloatArray | None:
    """Returns the worst case over the attacks of a row and its external attacks.

    Seeds without an external attack keep their worst case. If one perturbation serves all users, the perturbation with
    the worst mean counts, seed by seed.

    Args:
        results: the results of the folder.
        cells: the cells of the row. Only external attacks on these cells count.
        reference: the worst case of the row.

    Returns:
        The values, float64 [seeds, targets, users], or None if the row has no external attack.
    """
    best = []
    attacked = False
    for seed, worst in zip(reference.seeds, reference.worst, strict=True):
        of: dict[Attack, FloatArray] = {("worst case", 0.0): worst}
        for cell in cells:
            for number, external in enumerate(results.external_cells(cell) if cell.seed == seed else ()):
                values = read_values(results, external, reference.measure)
                if values is not None and (whole := _place(results, external, values, worst, reference)) is not None:
                    of[f"{cell.cell}/{number}", cell.epsilon] = whole
        attacked |= len(of) > 1
        rules = {"user_by_user": reference.user_by_user, "high": reference.high}
        chosen = compute_worst([of], list(of), [worst], **rules)
        best.append(worst if chosen is None else chosen[0])
    return np.stack(best) if attacked else None


def _place(
    results: Results, external: CellRow, values: FloatArray, worst: FloatArray, reference: Reference
) -> FloatArray | None:
    """Returns the values of an external attack in the shape of the worst case.

    An attack with targets has the targets of one set only. The targets of other sets keep their worst case. The result
    is None if the values of several sets are averaged, because the attack was not scored on the other sets. It is also
    None if the shapes differ, or if the row does not use the set.
    """
    if external.target_set is None or reference.sets is None:
        return (
            values
            if values.shape == worst.shape and (external.target_set is None or results.plan.targets.sets == 1)
            else None
        )
    if external.target_set not in reference.sets:
        return None
    start = list(reference.sets).index(external.target_set) * len(values)
    joined = worst.copy()
    joined[start : start + len(values)] = values
    return joined
