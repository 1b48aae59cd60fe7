"""A spawned worker, for systems without a fork server.

A separate thread watches the lifeline and the limits of the worker.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time

from robench.api import Task, Work
from robench_plugins.executors.isolation.frames import to_frame
from robench_plugins.executors.isolation.limits import Limits
from robench_plugins.executors.isolation.server import ignore_interrupts
from robench_plugins.executors.isolation.worker import do_task

INTERVAL = 0.5  # the seconds between two checks of the limits
LIMIT = 1  # the exit code of a worker over its limit


def work_alone(work: Work, task: Task, events: socket.socket, lifeline: socket.socket) -> None:
    """Runs a task in this process, and then ends the process.

    Args:
        work: the function that measures the task.
        task: the task.
        events: the socket for the events of the task.
        lifeline: the socket that ends the task when the other side closes it.
    """
    os.environ.pop("PYTHONSAFEPATH", None)
    handler = signal.getsignal(signal.SIGINT)
    if hasattr(os, "setsid"):
        os.setsid()  # The executor can then end the group, and only the executor handles the signals of the terminal.
    ignore_interrupts()
    signal.signal(signal.SIGINT, handler)
    try:
        lifeline.sendall(to_frame({"kind": "started", "pid": os.getpid()}))
    except OSError:  # the executor has given the task up
        os._exit(LIMIT)
    threading.Thread(target=_watch, args=(lifeline, Limits.of(task)), daemon=True).start()
    do_task(work, task, events)


def _watch(lifeline: socket.socket, limits: Limits) -> None:
    start = time.monotonic()
    while True:
        if select.select([lifeline], [], [], INTERVAL)[0]:
            os._exit(LIMIT)
        if problem := limits.problem(time.monotonic() - start, _memory()):
            lifeline.sendall(to_frame({"kind": "ended", "error": problem, "again": False}))
            os._exit(LIMIT)


def _memory() -> int:
    """Returns the peak memory of this process in bytes, or 0 if it is unknown."""
    try:
        import resource  # noqa: PLC0415  # absent on Windows
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
