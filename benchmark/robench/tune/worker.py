"""Fits one victim of a trial in a worker and reports the validation value.

Only training and validation items are used. Held-out items are not.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, TypedDict, cast

import numpy as np

from robench.api.errors import PluginError
from robench.api.escapes import MOST_MESSAGE, in_one_line, message_of, shortened
from robench.api.executor import Emit, Task
from robench.files.cache import Cache
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run.data import DataKey, load_prepared
from robench.run.device import pick_device, torch_settings
from robench.run.task import Payload, ProgressEvent, cell_from_payload
from robench.run.victim import make_victim_fit


class FitEvent(TypedDict):
    """An event that reports the end of a trial's fit.

    The kind of the event is ``cell``, so executors count it as a finished cell. ``value`` is None if there is an
    ``error``.
    """

    kind: Literal["cell"]
    task: str
    value: float | None
    seconds: float
    error: str


def validate(task: Task, emit: Emit) -> None:
    """Fits the victim of a task and emits a ``FitEvent``.

    If the fit fails, the event has an error and no value.

    Args:
        task: the victim with its clean cell (``Payload``).
        emit: the function that receives the events.
    """
    payload = cast("Payload", task.payload)
    value, seconds, error = None, 0.0, ""
    try:
        with torch_settings(payload["threads"], payload["device"]):
            value, seconds = _validate(task.id, payload, emit)
    except Exception as problem:  # a plugin may raise anything
        text = f"{type(problem).__name__}: {message_of(problem)}"
        error = shortened(in_one_line(text), MOST_MESSAGE)
    emit(FitEvent(kind="cell", task=task.id, value=value, seconds=seconds, error=error))


def _validate(task: str, payload: Payload, emit: Emit) -> tuple[float, float]:
    """Returns the validation NDCG@10 and the seconds of the fit.

    Raises:
        PluginError: if no user has both a training and a validation item.
    """
    victim = cell_from_payload(payload["cells"][0]).victim
    registry, cache = Registry.of(Host.discover()), Cache(Path(payload["cache"]))
    key = DataKey(payload["data_key"], payload["data_sha"])
    data, device = load_prepared(cache, key), pick_device(payload["device"])
    fit = make_victim_fit(victim, data, key, registry, cache, device, np.empty(0, dtype=np.int64))

    def report(done: int, total: int) -> None:
        emit(ProgressEvent(kind="progress", task=task, phase="fit", done=done, total=total))

    notes = fit.validate(report)
    value = notes.get("validation_ndcg@10")
    if value is None or math.isnan(value):
        raise PluginError("the fit gives no validation NDCG@10: no user has both a training and a validation item")
    return float(value), float(notes.get("fit_seconds", 0.0))
