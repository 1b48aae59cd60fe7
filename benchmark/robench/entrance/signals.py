"""Handles the signals that end a command: Ctrl-C, SIGTERM and SIGHUP.

During the commands ``run``, ``tune`` and ``verify``, the first signal interrupts the command. Its workers end, and a
line reports the interruption. A run keeps its finished cells, and a search keeps its finished trials. At any other
time, a signal prints a line and ends the process.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # SIGHUP does not exist on Windows
INTERRUPTED = "interrupted"  # the first word of every line about an interruption


class TerminatedError(KeyboardInterrupt):
    """The exception that interrupts a command when a signal arrives.

    Args:
        number: the number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def leave_at_once() -> None:
    """Installs handlers that print a line and end the process immediately.

    The exit code is 128 plus the number of the signal. A signal that is ignored stays ignored. The handlers do not
    raise an exception, because Python can lose exceptions that a handler raises during an import.
    """
    for number in _numbers():
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, f"{INTERRUPTED}\n".encode())
    os._exit(128 + number)


def _numbers() -> list[signal.Signals]:
    return [signal.Signals(getattr(signal, name)) for name in NAMES if hasattr(signal, name)]


@contextmanager
def interrupting_signals() -> Iterator[None]:
    """Makes SIGINT, SIGTERM and SIGHUP raise ``TerminatedError`` in the block.

    After the first signal, Ctrl-C raises ``KeyboardInterrupt``, and SIGTERM or SIGHUP ends the process at once. A
    signal is left alone if it is already ignored, for example because of ``nohup``, or if the caller has installed a
    handler for it.
    """
    before = {number: signal.getsignal(number) for number in _numbers()}
    taken = [number for number, handler in before.items() if handler in (signal.SIG_DFL, _leave)]

    def terminate(number: int, frame: FrameType | None) -> None:
        for one in taken:
            signal.signal(one, signal.default_int_handler if one == signal.SIGINT else signal.SIG_DFL)
        raise TerminatedError(number)

    for number in taken:
        signal.signal(number, terminate)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])


def describe_interruption(error: KeyboardInterrupt) -> str:
    """Returns a line about an interruption, with the notes of the exception."""
    return "; ".join([INTERRUPTED, *getattr(error, "__notes__", ())])


def exit_code(error: KeyboardInterrupt) -> int:
    """Returns the exit code of an interrupted command.

    The code is 128 plus the number of the signal.
    """
    return 128 + (error.number if isinstance(error, TerminatedError) else signal.SIGINT)
