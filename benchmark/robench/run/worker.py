"""Fits one victim or loads its checkpoint, and measures its cells.

The functions run in a worker process and catch the exceptions of plugins. If the fit raises an exception,
all cells fail. If the measurement of a cell raises an exception, only this cell fails.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, cast

from robench.api.executor import Emit, Task
from robench.files.cache import Cache, report_trouble
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run.data import DataKey, load_prepared
from robench.run.dependencies import Dependencies
from robench.run.device import pick_device, torch_settings
from robench.run.recorder import Recorder
from robench.run.task import CellEvent, NoteEvent, Payload, ProgressEvent, cell_from_payload
from robench.run.victim import FittedVictim, fit_victim
from robench.spec import Victim

Phase = Literal["fit", "measure"]


def work(task: Task, emit: Emit) -> None:
    """Measures the cells of a task and emits events about cells and progress.

    Args:
        task: a victim with its open cells (``Payload``).
        emit: the function that receives the events (``CellEvent``, ``ProgressEvent`` and ``NoteEvent``).
    """
    payload = cast("Payload", task.payload)
    before = report_trouble.set(lambda text: emit(NoteEvent(kind="note", task=task.id, text=text, once=True)))
    try:
        with torch_settings(payload["threads"], payload["device"]):
            _work(task.id, payload, emit)
    finally:
        report_trouble.reset(before)


def _work(task: str, payload: Payload, emit: Emit) -> None:
    cells = [cell_from_payload(content) for content in payload["cells"]]
    registry, cache = Registry.of(Host.discover()), Cache(Path(payload["cache"]))
    recorder = Recorder(Dependencies(registry, cache.sources), payload["threads"], payload["data_sha"])

    def report(phase: Phase, done: int, total: int) -> None:
        emit(ProgressEvent(kind="progress", task=task, phase=phase, done=done, total=total))

    try:
        victim = _fit(cells[0].victim, payload, registry, cache, recorder, lambda done, of: report("fit", done, of))
    except BaseException as error:  # a plugin may raise anything
        _raise_if_interrupted(error)
        for cell in cells:
            emit(CellEvent(kind="cell", task=task, record=recorder.failed(cell, error), arrays=None))
        return
    for number, cell in enumerate(cells, 1):
        start = time.perf_counter()
        try:
            outcome = victim.measure(cell)
            record = recorder.measured(cell, start, outcome.measurement, outcome.metrics, outcome.usage)
            event = CellEvent(kind="cell", task=task, record=record, arrays=outcome.measurement.arrays)
        except BaseException as error:  # a plugin may raise anything
            _raise_if_interrupted(error)
            event = CellEvent(kind="cell", task=task, record=recorder.failed(cell, error), arrays=None)
        emit(event)
        report("measure", number, len(cells))


def _raise_if_interrupted(error: BaseException) -> None:
    """Raises a ``KeyboardInterrupt`` again if the user may have pressed Ctrl-C.

    If Ctrl-C cannot reach this process, a plugin raised the exception, and the function returns.
    """
    if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        raise error


def _fit(
    victim: Victim,
    payload: Payload,
    registry: Registry,
    cache: Cache,
    recorder: Recorder,
    report: Callable[[int, int], None],
) -> FittedVictim:
    """Fits the victim, or loads its checkpoint.

    The function gives the device and the report of the fit to the recorder.
    """
    device = pick_device(payload["device"])
    recorder.device = str(device)
    key = DataKey(payload["data_key"], payload["data_sha"])
    data = load_prepared(cache, key)
    result = fit_victim(victim, data, key, registry, cache, device, payload["metrics"], report)
    recorder.fit = result.fitted.report
    return result
