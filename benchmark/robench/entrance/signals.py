"""Handles signals that end a run in the same way as Ctrl-C.

Finished cells are kept, workers end, and a line reports the interruption.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGTERM", "SIGHUP")  # the second is absent on Windows


class TerminatedError(KeyboardInterrupt):
    """The arrival of a signal that ends the run.

    Args:
        number: the number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def interrupting_signals() -> Iterator[None]:
    """Raises ``TerminatedError`` in the block if SIGTERM or SIGHUP arrives.

    A second signal ends the process at once. A signal that is already ignored, for example because of ``nohup``, stays
    ignored.
    """
    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    taken = [number for number, handler in before.items() if handler is signal.SIG_DFL]

    def terminate(number: int, frame: FrameType | None) -> None:
        for one in taken:
            signal.signal(one, signal.SIG_DFL)
        raise TerminatedError(number)

    for number in taken:
        signal.signal(number, terminate)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


def exit_code(error: KeyboardInterrupt) -> int:
    """Returns the exit code of an interrupted run: 128 plus the number of the signal."""
    return 128 + (error.number if isinstance(error, TerminatedError) else signal.SIGINT)
