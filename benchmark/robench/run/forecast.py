"""Forecasts when a run ends, from the times of similar fits and cells."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping

from robench.api.time_left import TimeLeft
from robench.run.device_type import device_type
from robench.run.estimates import Estimates
from robench.spec import Cell
from robench.store.record import Record

LOCAL = "local"  # the executor with one worker per core
INTERVAL = 1.0  # the seconds after which the time that is left is computed again


def count_workers(workers: int | None, executor: str, device: str) -> int | None:
    """Returns how many victims run at the same time, or None if unknown.

    If the user has chosen no number, the number is known only for the local executor on the CPU. ``Forecast`` derives
    an unknown number from the events of the victims.

    Args:
        workers: the number of workers that the user has chosen, or None.
        executor: the name of the executor.
        device: the device of the suite.
    """
    if workers is None and executor == LOCAL and device_type(device) == "cpu":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return workers


class Forecast:
    """The estimated time until a run ends.

    The work that is left is the estimated time of all open fits and cells. Victims that run at the same time share it.
    Each victim needs some more time, for example to start a process. This overhead is learnt from the times between
    the ends of victims. The time before the first end does not count, because it includes the start of the run.

    Args:
        victims: the open cells of each victim, by the ids of the victim and the cell.
        estimates: the estimated times, to which this object adds the records of the run.
        workers: the number of victims that run at the same time, or None if only the events can show it.
        clock: a function that returns the current time in seconds.
    """

    def __init__(
        self,
        victims: Mapping[str, Mapping[str, Cell]],
        estimates: Estimates,
        workers: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open = {victim: dict(cells) for victim, cells in victims.items() if cells}
        self._estimates, self._workers, self._clock = estimates, workers, clock
        self._fit_left = dict.fromkeys(self._open, 1.0)  # the share of a fit that is left
        self._active: set[str] = set()
        self._most_active = 1
        self._first_end: float | None = None
        self._ended = 0  # the number of victims that ended after the first one
        self._last_end = self._work_since = 0.0
        self._work: dict[str, float] = {}  # the recorded seconds of each victim
        self._computed: tuple[float, TimeLeft] | None = None

    def progress(self, victim: str, phase: str, done: int, total: int) -> None:
        """Notes how many epochs or cells a victim has finished.

        Args:
            victim: the id of the victim.
            phase: ``fit`` or ``measure``.
            done: the number of finished epochs or cells.
            total: the total number of epochs or cells.
        """
        if victim in self._open:
            self._start(victim)
            self._fit_left[victim] = 1 - done / total if phase == "fit" and total else 0.0

    def finish(self, cell: Cell, record: Record) -> None:
        """Adds the record of a finished cell.

        A record states the duration of the victim's fit even if the victim comes from the cache. If a fit has epochs
        but reported none, it comes from the cache and took no time.
        """
        victim = cell.victim.id
        cells = self._open.get(victim, {})
        if cells.pop(cell.id, None) is None:
            return
        self._start(victim)
        fit = None
        if victim not in self._work:
            cached = "epochs" in (record.get("fit") or {}) and self._fit_left[victim] == 1
            fit = 0.0 if cached else record.get("fit_seconds") or 0.0
        self._estimates.add(cell, record, fit)
        self._work[victim] = self._work.get(victim, 0.0) + (record.get("seconds") or 0.0) + (fit or 0.0)
        self._fit_left[victim] = 0.0
        if not cells:
            self._end(victim)

    def _start(self, victim: str) -> None:
        self._active.add(victim)
        self._most_active = max(self._most_active, len(self._active))

    def _end(self, victim: str) -> None:
        now = self._clock()
        del self._open[victim]
        self._active.discard(victim)
        if self._first_end is None:
            self._first_end = now
            return
        self._ended += 1
        self._last_end = now
        self._work_since += self._work[victim]

    @property
    def overhead(self) -> float:
        """The seconds that a victim needs in addition to its fit and its cells."""
        if self._first_end is None or not self._ended:
            return 0.0
        spent = self._parallel() * (self._last_end - self._first_end)
        return max(0.0, (spent - self._work_since) / self._ended)

    def _parallel(self) -> int:
        return self._workers or self._most_active

    def time_left(self) -> TimeLeft:
        """Returns the estimated time until the run ends.

        The run cannot end before its longest open victim ends. Otherwise, the victims share the work evenly. A large
        run has many events, so the time is computed at most once a second.
        """
        now = self._clock()
        if self._computed is None or now - self._computed[0] >= INTERVAL:
            self._computed = now, self._compute()
        return self._computed[1]

    def _compute(self) -> TimeLeft:
        work, unknown = [], 0
        for victim, cells in self._open.items():
            left = self._fit_left[victim]
            parts = [left * self._estimates.fit_seconds(next(iter(cells.values())))] if left else []
            parts += map(self._estimates.cell_seconds, cells.values())
            known = [seconds for seconds in parts if math.isfinite(seconds)]
            unknown += len(known) < len(parts)
            work.append(sum(known) + (0.0 if victim in self._active else self.overhead))
        parallel = max(1, min(self._parallel(), len(self._open)))
        return TimeLeft(max(sum(work) / parallel, max(work, default=0.0)), unknown)
