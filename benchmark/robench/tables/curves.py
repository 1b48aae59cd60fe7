"""Builds the curve of a metric against ε and computes the area under this curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from robench.api.codec import inline
from robench.api.metric import Measure
from robench.api.threat import Threat
from robench.spec import CellRow, RowKey
from robench.tables.results import Results, grouped


@dataclass(frozen=True)
class CurveRow:
    """The values of one model and defence under one test-time attack, at every ε.

    Values are means over seeds. A seed counts only if the clean cell and every ε were measured. Therefore, all points
    of a curve belong to the same fits.

    Args:
        key: the data and the victim, without the seed.
        threat: the threat model of the attack.
        attack_label: the label of the attack.
        metric: the metric of the values.
        epsilon: the budgets, beginning with 0 (clean).
        value: the mean at each ε.
        area: the area under the curve by the trapezoid rule, divided by the largest ε. This is the mean of the metric
            between ε = 0 and the largest ε.
        seeds: the number of seeds that count.
    """

    key: RowKey = field(metadata=inline())
    threat: Threat = field(metadata=inline("surface", "norm", "scale", "goal"))
    attack_label: str
    metric: Measure
    epsilon: tuple[float, ...]
    value: tuple[float, ...]
    area: float
    seeds: int


def build_curve_rows(results: Results, measure: Measure) -> list[CurveRow]:
    """Returns one row per ``RowKey`` and test-time attack.

    An attack has no row if no seed has all its points. The list is empty if the suite does not ask for ``measure``.
    """
    if measure not in results.plan.metrics:
        return []
    groups = results.grouped(lambda cell: (cell.key, cell.attack_label), lambda cell: cell.stage == "test")
    rows = (_curve_row(results, measure, key, label, cells) for (key, label), cells in groups.items())
    return [row for row in rows if row is not None]


def _curve_row(
    results: Results, measure: Measure, key: RowKey, label: str, cells: Sequence[CellRow]
) -> CurveRow | None:
    points: dict[float, dict[int, list[float]]] = {}
    for epsilon, group in grouped([*results.clean_cells(key), *cells], lambda cell: cell.epsilon).items():
        for cell in group:
            values = results.per_user(cell, measure)
            if values is not None:
                points.setdefault(epsilon, {}).setdefault(cell.seed, []).append(float(np.nanmean(values)))
    epsilons = sorted(points)
    seeds = sorted(set.intersection(*map(set, points.values()))) if 0.0 in points and len(points) > 1 else []
    threat = cells[0].threat
    if not seeds or threat is None:
        return None
    means = [float(np.mean([np.mean(points[epsilon][seed]) for seed in seeds])) for epsilon in epsilons]
    area = float(np.trapezoid(means, epsilons)) / epsilons[-1]
    return CurveRow(key, threat, label, measure, tuple(epsilons), tuple(means), area, len(seeds))
