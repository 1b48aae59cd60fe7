"""Shows the progress of a run through lifecycle hooks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from robench.api import hookimpl
from robench.api.errors import counted
from robench.api.escapes import visible
from robench.api.summary import DataSummary, describe_summary
from robench.api.terminal import Terminal

EARLY = 0.1  # the share of finished cells below which the pace is unknown
INTERVAL = 60.0  # the seconds between two lines, if there are no bars


class ProgressBar:
    """A display of the active victims, the remaining cells and the remaining time.

    On a terminal that can move its cursor, the display is live. Elsewhere the display consists of one line per finished
    victim, and about one line per minute in between.

    Args:
        console: the console to print on. The default is standard error.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Terminal(stderr=True)
        self.progress: Progress | None = None
        self.rows: dict[str, TaskID] = {}
        self.left: dict[str, int] = {}
        self.total = self.done = self.failed = 0
        self.neural: set[str] = set()
        self.pace_known = False
        self.started = self.printed = 0.0

    @hookimpl
    def robench_data_read(self, data: str, summary: DataSummary) -> None:
        """Prints the summary of a data set."""
        self.console.print(f"{data}: {describe_summary(summary)}", highlight=False, soft_wrap=True)

    @hookimpl
    def robench_suite_started(self, suite: str, victims: int, cells: int, stored: int) -> None:
        """Prints the size of the suite, and starts the bars.

        There are bars only if cells are to be measured and the terminal can move its cursor.
        """
        self.total, self.done, self.failed = cells, 0, 0
        self.started = self.printed = time.monotonic()
        self.rows, self.neural, self.pace_known = {}, set(), False
        note = f", {stored} stored already" if stored else ""
        self.console.print(
            f"{suite}: {counted(cells, 'cell')} of {counted(victims, 'victim')} to measure{note}",
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
        """Updates or removes the bar of a victim.

        Without bars, the method prints a line when the victim is finished.
        """
        finished = phase == "measure" and done == total
        if phase == "fit":
            self.neural.add(victim)
        self.pace_known |= finished and victim in self.neural
        if self.progress is None:
            if finished:
                self.print_line(f"{label}: {counted(total, 'cell')} ({self.note()})")
            return
        if victim not in self.rows:
            self.rows[victim] = self.progress.add_task(visible(label), total=total, note="")
        note = "epochs" if phase == "fit" else "cells"
        self.progress.update(self.rows[victim], completed=done, total=total, note=note)
        if finished:
            self.progress.remove_task(self.rows.pop(victim))

    @hookimpl
    def robench_cell_finished(self, record: Mapping[str, Any]) -> None:
        """Updates the bar of all cells, or prints about one line per minute."""
        self.done += 1
        self.failed += record["status"] == "failed"
        if self.progress is not None:
            self.progress.update(self.overall, completed=self.done, note=self.note())
        elif time.monotonic() - self.printed > INTERVAL:
            self.print_line(self.note())

    @hookimpl
    def robench_suite_finished(self, suite: str, ok: int, failed: int, skipped: int, seconds: float) -> None:
        """Removes the bars and prints a summary."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None
        parts = [
            f"{ok} measured",
            *([f"{failed} failed"] if failed else []),
            *([f"{skipped} skipped"] if skipped else []),
        ]
        self.console.print(f"{suite}: {', '.join(parts)} in {duration(seconds)}", highlight=False, soft_wrap=True)

    def print_line(self, text: str) -> None:
        """Prints an indented line, and stores the time."""
        self.printed = time.monotonic()
        self.console.print(f"  {text}", highlight=False, soft_wrap=True)

    def note(self) -> str:
        """Describes the remaining cells, the remaining time and the failed cells.

        The time is an estimate from the present pace. The first victims are often cheap and say little about the pace.
        The time is therefore left out until a tenth of the cells, or a victim that is trained in epochs, is finished.
        """
        left = self.total - self.done
        pace = (time.monotonic() - self.started) / max(1, self.done)
        failed = f", {self.failed} failed" if self.failed else ""
        if not left:
            return f"none left{failed}"
        known = self.pace_known or self.done >= EARLY * self.total
        return f"{left} left, {duration(left * pace)} at this pace{failed}" if known else f"{left} left{failed}"


def duration(seconds: float) -> str:
    """Returns a duration as text, such as ``45 s`` or ``3 min 20 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
