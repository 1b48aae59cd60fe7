"""Summarises the radii that attacks find.

A radius is the smallest ε at which an attack breaks a user.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from robench.api.codec import inline
from robench.spec import CellRow, RowKey
from robench.tables.results import Results


@dataclass(frozen=True)
class RadiusRow:
    """The radii of one attack on one model and defence, over all seeds.

    Args:
        key: the data and the victim, without the seed.
        attack_label: the label of the attack.
        hit_share: the share of users with a held-out item in the clean top k. The fields below cover only these users.
        radius_q25: the lower quartile of the radii, in units of ε.
        radius_q50: the median radius.
        radius_q75: the upper quartile of the radii.
        unbroken_share: the share of users that the attack never broke.
        seeds: the number of seeds.
    """

    key: RowKey = field(metadata=inline("dataset", "split", "model_label", "defense_label", "lambda", "train_epsilon"))
    attack_label: str
    hit_share: float
    radius_q25: float
    radius_q50: float
    radius_q75: float
    unbroken_share: float
    seeds: int


def build_radius_rows(results: Results) -> list[RadiusRow]:
    """Returns one row per ``RowKey`` and untargeted attack that stores radii."""
    groups = results.grouped(
        lambda cell: (cell.key, cell.attack_label),
        lambda cell: cell.stage == "test" and cell.goal == "untargeted" and "radius" in results.arrays(cell),
    )
    return [_radius_row(results, key, label, cells) for (key, label), cells in groups.items()]


def _radius_row(results: Results, key: RowKey, label: str, cells: Sequence[CellRow]) -> RadiusRow:
    # Every ε of a victim stores the same radii, so one cell per seed is enough.
    by_seed = {cell.seed: results.arrays(cell) for cell in cells}
    hit = np.concatenate([arrays["hit"] for arrays in by_seed.values()])
    radii = np.concatenate([arrays["radius"] for arrays in by_seed.values()])[hit]
    quantiles = np.quantile(radii, [0.25, 0.5, 0.75], method="nearest") if len(radii) else [math.nan] * 3
    low, middle, high = map(float, quantiles)
    unbroken = float((~np.isfinite(radii)).mean()) if len(radii) else math.nan
    return RadiusRow(key, label, float(hit.mean()), low, middle, high, unbroken, len(by_seed))
