"""The estimated time until a run ends, for plugins that show its progress."""

from __future__ import annotations

from dataclasses import dataclass

MINUTE, HOUR = 60, 3600
FIRST_STEP = 5  # seconds below a minute are rounded to this number


@dataclass(frozen=True)
class TimeLeft:
    """The estimated time until a run ends.

    Args:
        seconds: the estimated seconds for the victims with an estimate.
        unknown: the number of unfinished victims without an estimate, because nothing similar was measured.
    """

    seconds: float
    unknown: int = 0

    def describe(self) -> str:
        """Returns the time in words, such as ``about 3 min left``.

        The text begins with ``at least`` if victims without an estimate remain. It is empty if nothing is known.
        """
        if self.unknown:
            return f"at least {round_duration(self.seconds)} left" if self.seconds >= FIRST_STEP else ""
        return f"about {round_duration(self.seconds)} left"


def round_duration(seconds: float) -> str:
    """Returns a rounded duration for people, such as ``45 s`` or ``1 h 20 min``."""
    if seconds < MINUTE - FIRST_STEP / 2:
        return f"{max(FIRST_STEP, FIRST_STEP * round(seconds / FIRST_STEP))} s"
    minutes = round(seconds / MINUTE)
    if minutes < MINUTE:
        return f"{minutes} min"
    if seconds < 10 * HOUR:
        hours, rest = divmod(10 * round(minutes / 10), MINUTE)
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{round(seconds / HOUR)} h"
