"""Receives the events of workers.

The inbox checks each event, stores the cells, and counts them. An event must belong to the task of its worker.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from numpy.typing import NDArray

from robench.api.errors import ServiceError, UserError, counted
from robench.api.escapes import MOST_MESSAGE, in_one_line, shortened
from robench.api.executor import Event
from robench.api.time_left import TimeLeft
from robench.host.discovery import Host
from robench.run.forecast import Forecast
from robench.run.summary import Failure, Summary
from robench.run.task import LostEvent, NoteEvent, ProgressEvent, WorkerEvent, record_of
from robench.spec import Cell
from robench.store.earlier import keep_earlier
from robench.store.folder import InvalidCellError, Store
from robench.store.record import Record

log = logging.getLogger("robench")
UNFINISHED = "its worker ended without measuring this cell"


class Inbox:
    """An object that receives the events of one run.

    The inbox tracks which cells of each task are still open.

    Args:
        cells: the cells to measure.
        store: the folder of results.
        summary: the summary of the run, which is updated.
        host: the host, which calls the lifecycle hooks of plugins.
        label: a function that returns the readable name of a cell's victim.
        data_sha256: a function that returns the digest of a cell's prepared data.
        forecast: the forecast of the run's end, which is updated, or None.
    """

    def __init__(
        self,
        cells: Iterable[Cell],
        store: Store,
        summary: Summary,
        host: Host,
        label: Callable[[Cell], str],
        data_sha256: Callable[[Cell], str],
        forecast: Forecast | None = None,
    ) -> None:
        self.open: dict[str, dict[str, Cell]] = {}
        for cell in cells:
            self.open.setdefault(cell.victim.id, {})[cell.id] = cell
        self._labels = {task: label(next(iter(some.values()))) for task, some in self.open.items()}
        self._store, self._summary, self._host = store, summary, host
        self._data_sha256, self._forecast = data_sha256, forecast
        self._lost: dict[str, str] = {}
        self._refused: set[str] = set()
        self._noted: set[str] = set()
        self._last = False

    def receive(self, event: Event) -> None:
        """Handles one event.

        Events of unknown kinds or tasks are ignored. If an event is invalid, its task fails, and later events of this
        task are ignored.

        Raises:
            UserError: if a service failed. The cells that are stored stay, and all others remain open.
        """
        task = event.get("task")
        if not isinstance(task, str) or task not in self.open or task in self._refused:
            return
        known = cast("WorkerEvent", event)
        try:
            if known["kind"] == "progress":
                self._progress(known)
            elif known["kind"] == "note":
                self._note(known)
            elif known["kind"] == "cell":
                cell = self._own_cell(task, known["record"])
                self._finish(cell, known["record"], known["arrays"], foreign=True)
            elif known["kind"] == "lost":
                self._lose(known)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:  # a forged event
            ours = isinstance(error, _ForeignCellError | InvalidCellError)
            reason = str(error) if ours else f"{type(error).__name__}: {error}"
            self._refused.add(task)
            self._fail(task, f"its worker sent an event that is refused: {reason}")

    def unfinished(self) -> dict[str, dict[str, Cell]]:
        """Returns the open cells of each unfinished task.

        If a task is lost after this call, its open cells fail at once.
        """
        self._last = True
        return {task: dict(cells) for task, cells in self.open.items() if cells}

    def close(self) -> None:
        """Marks the cells that are still open as failed."""
        for task in self.open:
            self._fail(task, self._lost.get(task, UNFINISHED))

    def _progress(self, event: ProgressEvent) -> None:
        names = {"victim": event["task"], "label": self._labels[event["task"]], "phase": event["phase"]}
        counts = {"done": event["done"], "total": event["total"]}
        if self._forecast is not None:
            self._forecast.progress(event["task"], event["phase"], **counts)
        self._host.notify("robench_victim_progress", **names, **counts, time_left=self._time_left())

    def _time_left(self) -> TimeLeft | None:
        return None if self._forecast is None else self._forecast.time_left()

    def _note(self, event: NoteEvent) -> None:
        if not event.get("once"):
            log.warning("%s: %s", self._labels[event["task"]], event["text"])
        elif event["text"] not in self._noted:
            self._noted.add(event["text"])
            log.warning("%s", event["text"])

    def _own_cell(self, task: str, record: Record) -> Cell:
        """Returns the open cell to which a record belongs.

        The store checks that the id is the digest of the spec, so the spec needs no check here.

        Raises:
            _ForeignCellError: if the record does not belong to an open cell of this task, or if its status is neither
                ``ok`` nor ``failed``.
        """
        cell = self.open[task].get(record["id"])
        if cell is None:
            raise _ForeignCellError("a cell that is not one of its open cells")
        if record["status"] not in ("ok", "failed"):
            raise _ForeignCellError("a cell that is neither measured nor failed")
        return cell

    def _finish(self, cell: Cell, record: Record, arrays: Mapping[str, NDArray[Any]] | None, *, foreign: bool) -> None:
        """Stores the record and the arrays of a cell, and counts the cell.

        If the cell failed and was measured earlier, the earlier measurement stays. See ``keep_earlier``.

        Args:
            cell: the cell.
            record: the record of the cell.
            arrays: the arrays of the cell, or None if the cell was not measured.
            foreign: whether a worker made the record and the arrays.

        Raises:
            UserError: if a service failed, because the other cells would fail, too.
        """
        failure, stored = None, None
        if record["status"] != "ok":
            if record["error"]["type"] == ServiceError.__name__:
                raise UserError(in_one_line(record["error"]["message"]))
            stored = keep_earlier(self._store, record, self._data_sha256(cell))
            attack = f"{cell.attack.label} ε={cell.epsilon:g}" if cell.attack else "clean"
            error = in_one_line(f"{record['error']['type']}: {record['error']['message']}")
            error += "; the earlier measurement stays" if stored else ""
            failure = Failure(cell.id, self._labels[cell.victim.id], attack, error)
        stored = stored or self._store.write(record, arrays, foreign=foreign)
        del self.open[cell.victim.id][cell.id]
        if failure is None:
            self._summary.measured += 1
        elif line := self._summary.add_failure(failure):
            log.warning("%s", line)
        if self._forecast is not None:
            self._forecast.finish(cell, record)
        self._host.notify("robench_cell_finished", record=stored, time_left=self._time_left())

    def _lose(self, event: LostEvent) -> None:
        task, error = event["task"], shortened(event["error"], MOST_MESSAGE)
        self._lost[task] = error
        if self._last or not event.get("again", True):
            self._fail(task, error)
        elif left := len(self.open[task]):
            log.warning("%s: %s; %s left to try once more", self._labels[task], error, counted(left, "cell"))

    def _fail(self, task: str, message: str) -> None:
        error = {"type": "WorkerLost", "message": shortened(message, MOST_MESSAGE), "traceback": ""}
        for cell in list(self.open[task].values()):
            self._finish(cell, record_of(cell, "failed", metrics={}, error=error), None, foreign=False)


class _ForeignCellError(ValueError):
    """Raised if a task sends a record that it must not send."""
