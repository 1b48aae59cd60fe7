"""Sends beats from a worker while its main thread executes Python.

The keeper and the executor cannot see whether a busy process makes progress. A beat shows that the main thread still
executes Python.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable

BEAT = "beat"  # a message of a worker, which is not an event
INTERVAL = 5.0  # the seconds between two beats


class Heartbeat:
    """A thread that sends beats while the main thread executes Python.

    The interpreter calls ``_alive`` in the main thread, between two steps of its code. So there is no beat while the
    main thread is stopped, waits, or is inside one call of a library. Other threads of a plugin cause no beat. The
    thread uses no signal, because a signal could disturb a plugin. The thread ends with the process, or when the
    executor no longer listens.

    Args:
        send: the function that sends a message.
        interval: the seconds between two beats. None means ``INTERVAL``.
    """

    def __init__(self, send: Callable[[object], None], interval: float | None = None) -> None:
        self._send, self._interval = send, INTERVAL if interval is None else interval
        self._answered = threading.Event()
        self._call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(self._alive)  # kept as long as it may be called

    def start(self) -> None:
        """Starts the thread."""
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def _run(self) -> None:
        wait = threading.Event().wait  # a plugin may replace time.sleep
        ask = ctypes.pythonapi.Py_AddPendingCall
        while True:
            self._answered.clear()
            ask(self._call, None)
            self._answered.wait()
            try:
                self._send(BEAT)
            except OSError:  # the executor no longer listens
                return
            wait(self._interval)

    def _alive(self, _: object) -> int:
        self._answered.set()
        return 0
