"""Lists the guarantees of differentially private fits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from robench.api.codec import inline
from robench.api.metric import Measure
from robench.api.privacy import EpsDp
from robench.spec import CellRow, RowKey
from robench.tables.clean import estimate_clean
from robench.tables.results import Results
from robench.tables.stats import Interval


@dataclass(frozen=True)
class PrivacyRow:
    """The guarantee of one defended model.

    Args:
        key: the data and the victim, without the seed.
        eps_dp: the bound on the privacy loss, or ``inf``. It is the largest of all seeds.
        delta: the probability by which the bound may be missed. It is the largest of all seeds.
        unit: what one record of the data is.
        covers: what the guarantee is about.
        not_covered: what the fit also depends on, although the guarantee is not about it.
        seeds: the number of seeds.
        metric: the measure of ``clean``, or None if the suite has none that judges each user by ranks.
        clean: the mean clean value of the model, or None.
    """

    key: RowKey = field(metadata=inline("dataset", "split", "model_label", "defense_label", "lambda", "train_epsilon"))
    eps_dp: EpsDp
    delta: float
    unit: str
    covers: str
    not_covered: tuple[str, ...]
    seeds: int
    metric: Measure | None
    clean: Interval | None


def guarantees(results: Results, cells: Iterable[CellRow]) -> bool:
    """Returns whether any of these cells has a differentially private fit."""
    return any(results.ok(cell) and results.record(cell).get("privacy") is not None for cell in cells)


def build_privacy_rows(results: Results) -> list[PrivacyRow]:
    """Returns one row per model and defence with a guarantee, from the clean cells."""
    groups = results.grouped(
        lambda cell: cell.key, lambda cell: cell.clean and results.record(cell).get("privacy") is not None
    )
    rows = []
    for key, cells in groups.items():
        parts = [results.record(cell)["privacy"] for cell in cells]
        missing = dict.fromkeys(name for part in parts for name in part.get("not_covered", ()))
        weakest = max(parts, key=lambda part: (float(part["eps_dp"]), float(part["delta"])))
        rows.append(
            PrivacyRow(
                key,
                weakest["eps_dp"],
                max(float(part["delta"]) for part in parts),
                weakest["unit"],
                weakest["covers"],
                tuple(missing),
                len({cell.seed for cell in cells}),
                *estimate_clean(results, key),
            )
        )
    return rows
