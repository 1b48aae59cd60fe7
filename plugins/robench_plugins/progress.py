"""The progress bar: an ordinary plugin of lifecycle hooks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from robench.api import hookimpl
from robench.api.errors import counted

EARLY = 0.1  # share of the cells
QUIET = 60.0  # seconds after which a file hears of cells, however long their victim takes


class ProgressBar:
    """Which victims are at work, in which epoch, how many cells are left and how long it will take.

    On a terminal that can move its cursor it is live; elsewhere a line is printed for every victim that is done, and
    one about every minute in between.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, markup=False)
        self.progress: Progress | None = None
        self.rows: dict[str, TaskID] = {}
        self.left: dict[str, int] = {}
        self.total = self.done = self.failed = 0
        self.neural: set[str] = set()
        self.paced = False
        self.started = self.said = 0.0

    @hookimpl
    def robench_suite_started(self, suite: str, victims: int, cells: int, stored: int) -> None:
        """Say what is to be done."""
        self.total, self.done, self.failed = cells, 0, 0
        self.started = self.said = time.monotonic()
        self.rows, self.neural, self.paced = {}, set(), False
        kept = f", {stored} stored already" if stored else ""
        self.console.print(
            f"{suite}: {counted(cells, 'cell')} of {counted(victims, 'victim')} to measure{kept}",
            highlight=False,
            soft_wrap=True,
        )
        if not cells or not self.console.is_terminal or self.console.is_dumb_terminal:
            return
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        self.progress = Progress(*columns, TimeElapsedColumn(), console=self.console, transient=True)
        self.overall = self.progress.add_task("cells", total=cells, note="")
        self.progress.start()

    @hookimpl
    def robench_victim_progress(self, victim: str, label: str, phase: str, done: int, total: int) -> None:
        """Move a victim's own bar."""
        over = phase == "measure" and done == total
        if phase == "fit":
            self.neural.add(victim)
        self.paced |= over and victim in self.neural
        if self.progress is None:
            if over:
                self.say(f"{label}: {counted(total, 'cell')} ({self.note()})")
            return
        if victim not in self.rows:
            self.rows[victim] = self.progress.add_task(label, total=total, note="")
        note = "epochs" if phase == "fit" else "cells"
        self.progress.update(self.rows[victim], completed=done, total=total, note=note)
        if over:
            self.progress.remove_task(self.rows.pop(victim))

    @hookimpl
    def robench_cell_finished(self, record: Mapping[str, Any]) -> None:
        """Move the bar of all cells."""
        self.done += 1
        self.failed += record["status"] == "failed"
        if self.progress is not None:
            self.progress.update(self.overall, completed=self.done, note=self.note())
        elif time.monotonic() - self.said > QUIET:
            self.say(self.note())

    @hookimpl
    def robench_suite_finished(self, suite: str, ok: int, failed: int, skipped: int, seconds: float) -> None:
        """Take the bars away and sum up."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None
        parts = [
            f"{ok} measured",
            *([f"{failed} failed"] if failed else []),
            *([f"{skipped} skipped"] if skipped else []),
        ]
        self.console.print(f"{suite}: {', '.join(parts)} in {duration(seconds)}", highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """A line for whoever has no bars."""
        self.said = time.monotonic()
        self.console.print(f"  {text}", highlight=False, soft_wrap=True)

    def note(self) -> str:
        """Cells left, and the time they will take at the pace so far.

        The first victims are often the cheap ones, which say nothing about the pace: no time is named before one that
        is trained in epochs, or a tenth of the cells, is done.
        """
        left = self.total - self.done
        pace = (time.monotonic() - self.started) / max(1, self.done)
        failed = f", {self.failed} failed" if self.failed else ""
        if not left:
            return f"none left{failed}"
        known = self.paced or self.done >= EARLY * self.total
        return f"{left} left, {duration(left * pace)} at this pace{failed}" if known else f"{left} left{failed}"


def duration(seconds: float) -> str:
    """``45 s`` or ``3 min 20 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
