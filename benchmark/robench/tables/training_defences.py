"""Compares defended models with their undefended twins on the same training data.

The data are clean, or changed by the same attack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from robench.api.codec import inline
from robench.api.metric import Measure
from robench.spec import CellRow, RowKey
from robench.tables.detection import detects
from robench.tables.poisoning import choose_measures, decide_verdict
from robench.tables.privacy import guarantees
from robench.tables.results import Results
from robench.tables.stats import Interval, estimate_mean
from robench.tables.units import pair_units


@dataclass(frozen=True)
class TrainingDefenceRow:
    """One measure of a defended model and of its undefended twin.

    Both were trained on the same data. On clean data, the difference is what the defence costs.

    Args:
        key: the data and the defended victim, without the seed.
        attack_label: the label of the attack on the training data, or ``none`` for clean data.
        epsilon: the budget of the attack, or 0 for clean data.
        metric: the metric that is measured.
        seeds: the number of seeds that both have.
        twin: the mean of the undefended twin.
        defended: the mean of the defended model.
        difference: the mean of the paired differences, defended minus twin, with its interval.
        verdict: ``rises`` or ``falls`` if the difference is significant, else ``none``. It is empty with one seed.
    """

    key: RowKey = field(metadata=inline())
    attack_label: str
    epsilon: float
    metric: Measure
    seeds: int
    twin: float
    defended: float
    difference: Interval
    verdict: str


def build_training_defence_rows(results: Results) -> list[TrainingDefenceRow]:
    """Returns one row per defended model, attack on training data, ε and measure.

    A model also has a row for clean data if its victims were attacked at training time, if its defence cleans the
    training data, or if its fit is differentially private. Measures of targets are left out on clean data and under
    attacks without targets. A model without an undefended twin has no rows.
    """
    twins = {key.model_key: key for key in results.by_row if not key.defended}
    rows = []
    for key, planned in results.by_row.items():
        twin = twins.get(key.model_key)
        if not key.defended or twin is None:
            continue
        measured = [cell for cell in planned if results.ok(cell)]
        if (
            any(cell.stage == "train" for cell in measured)
            or detects(results, measured)
            or guarantees(results, measured)
        ):
            rows += list(_rows(results, key, twin, measured))
    return rows


def _rows(results: Results, key: RowKey, twin: RowKey, measured: Sequence[CellRow]) -> Iterator[TrainingDefenceRow]:
    trained = [cell for cell in measured if cell.clean or cell.stage == "train"]
    undefended = {
        (cell.attack_label, cell.epsilon, cell.seed, cell.target_set): cell
        for cell in results.by_row[twin]
        if results.ok(cell) and (cell.clean or cell.stage == "train")
    }
    for label, epsilon in dict.fromkeys((cell.attack_label, cell.epsilon) for cell in trained):
        cells = [cell for cell in trained if (cell.attack_label, cell.epsilon) == (label, epsilon)]
        for measure in choose_measures(results, cells[0].goal):
            pair = pair_units(
                results,
                cells,
                measure,
                lambda cell: undefended.get((cell.attack_label, cell.epsilon, cell.seed, cell.target_set)),
            )
            if pair is None:
                continue
            before, after = pair
            low, high = results.metric(measure).bounds
            gap = estimate_mean(after - before)
            means = float(np.nanmean(before)), float(np.nanmean(after))
            interval = gap.interval((low - high, high - low))
            yield TrainingDefenceRow(key, label, epsilon, measure, len(after), *means, interval, decide_verdict(gap))
