"""Writes and reads records, which are the JSON files of cells with their checksums."""

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
    """Returns an uncompressed npz file. The same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})
    return buffer.getvalue()


def arrays_from_bytes(content: bytes) -> dict[str, NDArray[Any]]:
    """Returns the arrays of an npz file. Nothing is unpickled."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def seal(record: Record) -> Record:
    """Returns the record with the sha256 of all its other content."""
    rest = {name: value for name, value in record.items() if name != "sha256"}
    text = json.dumps(rest, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return {**rest, "sha256": hashlib.sha256(text.encode()).hexdigest()}


def new_record(cell: str, victim: str, status: Status, **content: Any) -> Record:
    """Returns a record without the checksums of its arrays and of itself."""
    return {
        "format_version": FORMAT_VERSION,
        "protocol_version": PROTOCOL_VERSION,
        "id": cell,
        "victim": victim,
        "status": status,
        **content,
    }


def compute_metric_values(
    metrics: Mapping[Measure, Metric], outcome: Outcome, threat: Threat | None, kind: str
) -> dict[str, dict[str, Any]]:
    """Returns the ``metrics`` of a record, a mean and a version for each measure.

    Args:
        metrics: the metric of each measure of the suite.
        outcome: the outcome of the cell.
        threat: the threat model of the cell, or None if it is clean.
        kind: the kind of the cell's attack.
    """
    values = {measure: measure.per_user(metric, outcome, threat, kind) for measure, metric in metrics.items()}
    return {
        str(measure): {"value": compute_mean(array), "version": metrics[measure].version}
        for measure, array in values.items()
        if array is not None
    }


def compute_mean(values: FloatArray) -> float | None:
    """Returns the mean over the users that have a value, or None if no user has one.

    Args:
        values: the value of each user, float64 [U].
    """
    return None if np.isnan(values).all() else float(np.nanmean(values))


def build_outcome(arrays: Mapping[str, NDArray[Any]], clean: Outcome | None = None) -> Outcome:
    """Returns the outcome that is stored in the arrays of a cell.

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
    """Returns whether a suite asks for metrics of likes that the record lacks.

    Such a record was made for a suite that did not ask for these metrics.
    """
    needed = any(metric.needs == "likes" for metric in metrics)
    return needed and "calibration_a" not in record.get("diagnostics", {})


def to_text(record: Record) -> str:
    """Returns the record as indented JSON."""
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def from_text(text: str, where: str) -> Record:
    """Returns the record of a JSON text.

    Args:
        text: the content of the file.
        where: the name of the file in error messages.

    Raises:
        UserError: if the record is incomplete, has an unknown format, or was changed after it was written.
    """
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"not JSON: {error.msg}", where=f"{where}:{error.lineno}") from None
    if not isinstance(record, dict) or record.get("format_version") != FORMAT_VERSION:
        raise UserError(f"not a record of format {FORMAT_VERSION}", where=where)
    if seal(record)["sha256"] != record.get("sha256"):
        raise UserError("the record was changed after it was written: its sha256 differs", where=where)
    return record
