"""Summarises the sizes of embedded inputs, to which ε is relative."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from robench.api.codec import inline
from robench.api.surfaces import SURFACES
from robench.spec import CellRow, RowKey
from robench.tables.checks import Checks, checks_by_seed, radius_ratio, twin_checks
from robench.tables.results import Results


@dataclass(frozen=True)
class InputRow:
    """The input sizes of one model and defence, and the radius of the twin.

    The twin is the undefended model with the same data and seed. All sizes are means over seeds, and all but ``rms``
    are first averaged over the checked users of a fit.

    Args:
        key: the data and the victim, without the seed.
        rms: the root mean square of all genuine input entries of a fit.
        places: the number of places that may be perturbed.
        radius: the L2 radius of the ball at ε = 1.
        twin_radius: the radius of the twin, or None if there is no defence or no checked twin.
        ratio: the radius divided by the radius of the twin, computed for each seed that both have. The field is the
            median of these ratios, or None if there are none.
        seeds: the number of seeds.
    """

    key: RowKey = field(metadata=inline("dataset", "split", "model_label", "defense_label", "lambda", "train_epsilon"))
    rms: float
    places: float
    radius: float
    twin_radius: float | None
    ratio: float | None
    seeds: int


def build_input_rows(results: Results) -> list[InputRow]:
    """Returns one row per ``RowKey`` with checks in its records."""
    groups = results.grouped(
        lambda cell: cell.key, lambda cell: cell.stage == "test" and SURFACES[cell.surface].checks_victims
    )
    return [
        _input_row(results, key, cells, numbers)
        for key, cells in groups.items()
        if (numbers := checks_by_seed(results, cells))
    ]


def _input_row(results: Results, key: RowKey, cells: Sequence[CellRow], numbers: Mapping[int, Checks]) -> InputRow:
    twin = twin_checks(results, cells)
    rms, places, radius = (_mean(name, numbers) for name in ("rms", "places", "radius"))
    twin_radius = _mean("radius", twin) if twin else None
    return InputRow(key, rms, places, radius, twin_radius, radius_ratio(numbers, twin), len(numbers))


def _mean(name: str, numbers: Mapping[int, Checks]) -> float:
    return float(np.mean([part[name] for part in numbers.values()]))
