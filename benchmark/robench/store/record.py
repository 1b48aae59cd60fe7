"""Builds, formats and parses records, the JSON files of cells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from robench.api.data import FloatArray
from robench.api.digest import digest_spec
from robench.api.errors import UserError
from robench.api.metric import ItemFacts, Measure, Metric, Outcome, probability
from robench.api.threat import Threat
from robench.spec import PROTOCOL_VERSION
from robench.store.models import first_problem
from robench.store.npz import Arrays
from robench.store.record_schema import record_adapter
from robench.store.seal import parse_sealed

FORMAT_VERSION = 2  # from version 2 on, cells of attacks on vectors hold checks of their victim
READABLE = (1, 2)  # the versions that this robench reads
ENSEMBLE = "ensemble"  # the kind of an ensemble's cell
Status = Literal["ok", "failed", "skipped"]
Record = dict[str, Any]


def new_record(cell: str, victim: str, status: Status, **content: Any) -> Record:
    """Returns a record without its own checksum and without that of its arrays."""
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
    """Returns the ``metrics`` of a record: each measure's mean and metric version.

    Measures that do not apply to the cell are left out.

    Args:
        metrics: the metric of each measure of the suite.
        outcome: the outcome of the cell.
        threat: the threat model of the cell, or None if the cell is clean.
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
        values: the value of each user, float64 [users].
    """
    missing = np.isnan(values)
    count = len(values) - int(np.count_nonzero(missing))
    if count == 0:
        return None
    return float((values if count == len(values) else np.where(missing, 0.0, values)).sum() / count)


def build_outcome(arrays: Arrays, clean: Outcome | None = None, items: ItemFacts | None = None) -> Outcome:
    """Builds the outcome of a cell from its arrays.

    A score s becomes the probability of a like, σ(a·s + b), where σ is the logistic function. The arrays ``likes`` and
    ``dislikes`` hold the scores, and the array ``calibration`` holds (a, b).

    Args:
        arrays: the arrays of the cell.
        clean: the outcome of the clean cell, for metrics that compare both outcomes.
        items: facts about the items of the catalogue, for metrics of lists.
    """
    targets = arrays.get("target_ranks")
    ranks, top, candidates = arrays["ranks"], arrays["top"], arrays["candidates"]
    outcome = Outcome(arrays["indptr"], ranks, top, candidates, targets, clean, items=items)
    if "calibration" not in arrays or "likes" not in arrays:
        return outcome
    a, b = arrays["calibration"]
    likes, dislikes = (probability(a * arrays[name].astype(np.float64) + b) for name in ("likes", "dislikes"))
    return replace(outcome, likes=likes, dislikes=dislikes)


def lacks_likes(record: Record, metrics: Iterable[Metric]) -> bool:
    """Returns whether the metrics need likes that the record lacks.

    A record lacks likes if its suite had no metric of likes.
    """
    needed = any(metric.needs == "likes" for metric in metrics)
    return needed and "calibration_a" not in record.get("diagnostics", {})


def to_text(record: Record) -> str:
    """Returns a record as indented JSON."""
    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def parse_record(content: bytes, cell: str, where: str) -> Record:
    """Parses a record and checks that it belongs to the given cell.

    Args:
        content: the bytes of the file.
        cell: the id of the cell to which the record must belong.
        where: the name of the file in error messages.

    Raises:
        UserError: if the content is not a record, was changed after it was written, belongs to another cell, or has
            an id that is not the digest of its spec.
    """
    record = parse_sealed(content, "a record", READABLE, where)
    try:
        record_adapter().validate_python(record)
    except ValidationError as error:
        raise UserError(f"not a record: {first_problem(error)}", where=where) from None
    if record["id"] != cell:
        raise UserError(f"the record of another cell: {record['id']}", where=where)
    if digest_spec(record["spec"]) != (record["id"], record["victim"]):
        raise UserError("its id is not the digest of its spec", where=where)
    return record
