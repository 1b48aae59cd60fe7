"""Compares each defended model with its undefended twin, clean and attacked.

The twin is the undefended model with the same data, settings and seed.

The page docs/findings/article.md shows the comparison.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from robench.api.codec import inline
from robench.api.data import FloatArray
from robench.api.metric import Measure
from robench.api.threat import Threat
from robench.spec import CellRow, RowKey
from robench.tables.results import Results, grouped
from robench.tables.stats import Interval, compute_interval
from robench.tables.units import drop_repeats

KINDS = ("held-out", "likes")
Cells = Mapping[int, CellRow]  # the cells by seed


@dataclass(frozen=True)
class TwinRow:
    """One measure of a defended model and of its undefended twin.

    Both are measured clean and under the same attack. Means are taken over users and over the seeds that both models
    share.

    Args:
        key: the data and the defended victim, without the seed.
        threat: the threat model of the attack.
        attack_label: the label of the attack.
        epsilon: the budget of the attack.
        seeds: the number of seeds that both models share.
        metric: the metric that is measured.
        twin_clean: the clean value of the undefended twin.
        twin_attacked: the attacked value of the undefended twin.
        robust_clean: the clean value of the defended model.
        robust_attacked: the attacked value of the defended model.
        gain: the attacked value of the defended model minus that of the twin, paired over users and seeds.
        inverted: the number of fits with a calibration slope a ≤ 0, for the twin and for the defended model.
    """

    key: RowKey = field(metadata=inline())
    threat: Threat = field(metadata=inline("surface", "norm", "scale"))
    attack_label: str
    epsilon: float
    seeds: int
    metric: Measure
    twin_clean: Interval
    twin_attacked: Interval
    robust_clean: Interval
    robust_attacked: Interval
    gain: Interval
    inverted: tuple[int, int]


def build_twin_rows(results: Results) -> list[TwinRow]:
    """Returns one row per defended model, untargeted test-time attack, ε and measure.

    The measures are those that need the ranks of held-out items or the predicted likes. A measure gets no row if a cell
    of the model or of its twin lacks the measure. A defended model gets no rows if the suite has no undefended twin.

    If no metric of the suite needs predicted likes, the list is empty.
    """
    needs = {measure: results.metric(measure).needs for measure in results.plan.metrics}
    if "likes" not in needs.values():
        return []
    measures = [measure for measure, kind in needs.items() if kind in KINDS]
    attacked = results.grouped(
        lambda cell: (cell.attack_label, cell.epsilon),
        lambda cell: cell.stage == "test" and cell.goal == "untargeted",
    )
    undefended = {cell.key.model_key: cell.key for cell in results.cells if not cell.key.defended}
    rows: list[TwinRow] = []
    for (label, epsilon), cells in attacked.items():
        by_row = grouped(cells, lambda cell: cell.key)
        for key, robust in by_row.items():
            twin, threat = undefended.get(key.model_key), robust[0].threat
            if twin is None or twin == key or twin not in by_row or threat is None:
                continue
            four = [results.clean_cells(twin), by_row[twin], results.clean_cells(key), robust]
            by_seed = [{cell.seed: cell for cell in part} for part in four]
            seeds = sorted(set.intersection(*map(set, by_seed)))
            for measure, values in _values(results, measures, seeds, by_seed):
                rows.append(_row(results, (key, threat, label, epsilon), measure, values, seeds, by_seed))
    return rows


def _values(
    results: Results, measures: Sequence[Measure], seeds: Sequence[int], four: Sequence[Cells]
) -> Iterator[tuple[Measure, list[FloatArray]]]:
    """Yields each measure with its values in four groups of cells.

    The groups are, in this order, the clean and the attacked cells of the twin, and the clean and the attacked cells of
    the defended model. A measure is left out if any cell lacks it. The values of each group are float64 [seeds, users].
    """
    for measure in measures:
        values = [[results.per_user(cells[seed], measure) for seed in seeds] for cells in four]
        whole = [[part for part in parts if part is not None] for parts in values]
        if seeds and all(len(parts) == len(seeds) for parts in whole):
            yield measure, [drop_repeats(results, measure, np.stack(parts)) for parts in whole]


def _row(
    results: Results,
    attacked: tuple[RowKey, Threat, str, float],
    measure: Measure,
    values: Sequence[FloatArray],
    seeds: Sequence[int],
    four: Sequence[Cells],
) -> TwinRow:
    low, high = results.metric(measure).bounds
    twin_clean, twin_attacked, robust_clean, robust_attacked = (compute_interval(part, (low, high)) for part in values)
    gain = compute_interval(values[3] - values[1], (low - high, high - low))
    twin, robust = (sum(_inverted(results, cells[seed]) for seed in seeds) for cells in (four[0], four[2]))
    means = twin_clean, twin_attacked, robust_clean, robust_attacked
    return TwinRow(*attacked, len(seeds), measure, *means, gain, (twin, robust))


def _inverted(results: Results, cell: CellRow) -> bool:
    return "calibration_inverted" in results.record(cell).get("diagnostics", {})
