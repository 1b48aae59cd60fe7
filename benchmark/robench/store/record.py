"""The record: the JSON file of one cell, with a checksum of its arrays and of itself."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robench.api.data import FloatArray
from robench.api.errors import UserError
from robench.api.metric import Measure, Metric, Outcome, probability
from robench.api.threat import Threat
from robench.spec import PROTOCOL_VERSION

FORMAT_VERSION = 1
ENSEMBLE = "ensemble"  # kind of a cell
Status = Literal["ok", "failed", "skipped"]
Record = dict[str, Any]
Arrays = Mapping[str, NDArray[Any]]


def arrays_to_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An uncompressed npz; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})
    return buffer.getvalue()


def arrays_from_bytes(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of an npz, never unpickled."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def sealed(record: Record) -> Record:
    """The record with its own sha256, taken over everything else."""
    rest = {name: value for name, value in record.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return {**rest, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def new_record(cell: str, victim: str, status: Status, **content: Any) -> Record:
    """A record without arrays' and its own checksum."""
    return {
        "format_version": FORMAT_VERSION,
        "protocol_version": PROTOCOL_VERSION,
        "id": cell,
        "victim": victim,
        "status": status,
        **content,
    }


def metric_values(
    metrics: Mapping[Measure, Metric], outcome: Outcome, threat: Threat | None, kind: str
) -> dict[str, dict[str, Any]]:
    """Returns the ``metrics`` of a record: the mean and the version of every measure that the cell has.

    Args:
        metrics: the metric of each measure of the suite.
        outcome: of the cell.
        threat: the threat model of the cell; None if it is clean.
        kind: the kind of its attack.
    """
    values = {measure: measure.per_user(metric, outcome, threat, kind) for measure, metric in metrics.items()}
    return {
        str(measure): {"value": mean_of(array), "version": metrics[measure].version}
        for measure, array in values.items()
        if array is not None
    }


def mean_of(values: FloatArray) -> float | None:
    """Returns the mean over the users that have a value, or None if no user has one. Args: values: float64 [U]."""
    return None if np.isnan(values).all() else float(np.nanmean(values))


def outcome_of(arrays: Mapping[str, NDArray[Any]], clean: Outcome | None = None) -> Outcome:
    """The outcome that the arrays of a cell hold.

    Likes are p = σ(a·s + b) of the stored scores, with (a, b) in the array ``calibration``.
    """
    targets = arrays.get("target_ranks")
    outcome = Outcome(arrays["indptr"], arrays["ranks"], arrays["top"], arrays["candidates"], targets, clean)
    if "calibration" not in arrays or "likes" not in arrays:
        return outcome
    a, b = arrays["calibration"]
    likes, dislikes = (probability(a * arrays[name].astype(np.float64) + b) for name in ("likes", "dislikes"))
    return replace(outcome, likes=likes, dislikes=dislikes)


def lacks_likes(record: Record, metrics: Iterable[Metric]) -> bool:
    """Whether metrics of likes are wanted, and a measured cell holds none as no suite had asked for them."""
    wanted = any(metric.needs == "likes" for metric in metrics)
    return wanted and "calibration_a" not in record.get("diagnostics", {})


def to_text(record: Record) -> str:
    """JSON for people and machines."""
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_text(text: str, where: str) -> Record:
    """A record that is whole, of a known format, and unchanged since it was written.

    Raises:
        UserError: it is not.
    """
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"not JSON: {error.msg}", where=f"{where}:{error.lineno}") from None
    if not isinstance(record, dict) or record.get("format_version") != FORMAT_VERSION:
        raise UserError(f"not a record of format {FORMAT_VERSION}", where=where)
    if sealed(record)["sha256"] != record.get("sha256"):
        raise UserError("the record was changed after it was written: its sha256 differs", where=where)
    return record
