"""Shows the progress of a run through lifecycle hooks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from robench.api import hookimpl
from robench.api.errors import counted
from robench.api.escapes import visible
from robench.api.summary import DataSummary, describe_summary
from robench.api.terminal import Terminal
from robench.api.time_left import TimeLeft

INTERVAL = 60.0  # the seconds between two lines in a file
REFRESHES = 4  # how often a second the live line is drawn


class ProgressLine:
    """A line with the finished cells, the remaining time and the active victim.

    On a terminal that can move its cursor, the line is live. Elsewhere, it is printed about once a minute.

    Args:
        console: the console to print on. The default is standard error.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Terminal(stderr=True)
        self.live: Live | None = None
        self.active: dict[str, str] = {}
        self.total = self.done = self.failed = 0
        self.time_left: TimeLeft | None = None
        self.printed = 0.0

    @hookimpl
    def robench_data_read(self, data: str, summary: DataSummary) -> None:
        """Prints the summary of a data set."""
        self._print(f"{data}: {describe_summary(summary)}")

    @hookimpl
    def robench_suite_started(
        self, suite: str, victims: int, cells: int, stored: int, time_left: TimeLeft | None
    ) -> None:
        """Prints the size of the suite and starts the live line.

        There is a live line only if cells are to be measured and the terminal can move its cursor.
        """
        self.total, self.done, self.failed, self.active = cells, 0, 0, {}
        self.time_left, self.printed = time_left, time.monotonic()
        note = f", {stored} stored already" if stored else ""
        left = time_left.describe() if time_left is not None and cells else ""
        estimate = f", by earlier records {left}" if left else ""
        self._print(f"{suite}: {counted(cells, 'cell')} of {counted(victims, 'victim')} to measure{note}{estimate}")
        if cells and self.console.is_terminal and not self.console.is_dumb_terminal:
            self.live = Live(
                get_renderable=self._text, console=self.console, transient=True, refresh_per_second=REFRESHES
            )
            self.live.start()

    @hookimpl
    def robench_victim_progress(
        self, victim: str, label: str, phase: str, done: int, total: int, time_left: TimeLeft | None
    ) -> None:
        """Shows the phase of a victim, until all its cells are measured."""
        self.time_left = time_left
        self.active.pop(victim, None)
        if phase == "fit":
            self.active[victim] = f"{label}: epoch {done} of {total}"
        elif done < total:
            self.active[victim] = f"{label}: cell {done} of {total}"
        self._print_each_minute()

    @hookimpl
    def robench_cell_finished(self, record: Mapping[str, Any], time_left: TimeLeft | None) -> None:
        """Counts a cell."""
        self.time_left = time_left
        self.done += 1
        self.failed += record["status"] == "failed"
        self._print_each_minute()

    @hookimpl
    def robench_suite_finished(self, suite: str, ok: int, failed: int, skipped: int, seconds: float) -> None:
        """Removes the live line and prints a summary."""
        if self.live is not None:
            self.live.stop()
            self.live = None
        parts = [
            f"{ok} measured",
            *([f"{failed} failed"] if failed else []),
            *([f"{skipped} skipped"] if skipped else []),
        ]
        self._print(f"{suite}: {', '.join(parts)} in {duration(seconds)}")

    def line(self) -> str:
        """Returns the line: finished cells, failures, the time left, and a victim.

        The victim comes last, because a narrow terminal cuts the end of the line. If several victims are active, the
        line names the one with the latest news.
        """
        left = self.time_left.describe() if self.time_left is not None and self.done < self.total else ""
        parts = [f"{self.done} of {self.total} cells", *([f"{self.failed} failed"] if self.failed else []), left]
        line = ", ".join(filter(None, parts))
        active = list(self.active.values())  # a copy, because another thread draws the line
        more = f" (+{len(active) - 1})" if len(active) > 1 else ""
        return f"{line}; {active[-1]}{more}" if active else line

    def _text(self) -> Text:
        return Text(visible(self.line()), no_wrap=True, overflow="ellipsis")

    def _print_each_minute(self) -> None:
        now = time.monotonic()
        if self.live is None and now - self.printed > INTERVAL:
            self.printed = now
            self._print(f"  {self.line()}")

    def _print(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Returns a duration as text, such as ``45 s`` or ``3 min 20 s``."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
