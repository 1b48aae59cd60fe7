"""The keeper of a task on Linux.

A keeper is a process that starts the worker, enforces the limits, and finally ends the worker with all its descendants.
The lifeline is a socket between the keeper and the executor. If the executor ends for any reason, the lifeline closes,
and the keeper kills its worker. If the keeper itself is killed, the kernel kills the worker.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from robench.api import Task, Work
from robench_plugins.executors.isolation import tree
from robench_plugins.executors.isolation.ending import MemoryKills, describe_exit
from robench_plugins.executors.isolation.frames import to_frame
from robench_plugins.executors.isolation.limits import Limits
from robench_plugins.executors.isolation.worker import do_task

INTERVAL = 0.1  # the seconds between two measurements of the memory
EAGER = "500"  # If memory runs out, the kernel should kill a worker rather than the process that holds the results.


def keep(work: Work, task_file: int, events: int, lifeline: int) -> None:
    """Starts the worker of a task, and finally ends all descendants of this process.

    The start and the end of the worker are reported over the lifeline.

    Args:
        work: the function that measures the task.
        task_file: a file descriptor with the pickled task.
        events: the worker's end of the socket for events.
        lifeline: this process's end of the lifeline.
    """
    os.setsid()  # only the executor handles the signals of the terminal
    tree.adopt_orphans()
    with os.fdopen(task_file, "rb") as file:
        task: Task = pickle.load(file)  # from the executor, never from a worker
    kills, start, keeper = MemoryKills(), time.monotonic(), os.getpid()
    worker = os.fork()
    if worker == 0:
        os.close(lifeline)
        _become_worker(keeper)
        do_task(work, task, socket.socket(fileno=events))
    os.close(events)
    line = socket.socket(fileno=lifeline)
    _tell(line, {"kind": "started", "pid": worker, "keeper": keeper})
    problem = _watch(worker, line, Limits.of(task), start)
    code = None
    if problem is None:
        code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    tree.end_descendants()
    ending: dict[str, Any] = {"kind": "ended", "error": problem, "again": False, "swept": True}
    if code is not None:
        words = kills.describe(worker) if code == -signal.SIGKILL else ""
        ending |= {"error": describe_exit(code) + words, "again": True}
    _tell(line, ending)


def _become_worker(keeper: int) -> None:
    os.setsid()  # a signal to the worker's group then reaches no other process
    tree.die_with_parent(keeper)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(EAGER)


def _watch(worker: int, line: socket.socket, limits: Limits, start: float) -> str | None:
    """Waits for the end of the worker, or for a reason to end it.

    The result is None if the worker has ended, and the reason otherwise. The reason is empty if the executor has closed
    the lifeline.

    Args:
        worker: the process id of the worker.
        line: the lifeline.
        limits: the limits of the task.
        start: the time at which the task started, on the clock of ``time.monotonic``.
    """
    ended = os.pidfd_open(worker)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(line, select.POLLIN)
    while True:
        left = None if limits.seconds is None else max(0.0, start + limits.seconds - time.monotonic()) + 0.01
        wait = min((w for w in (left, None if limits.memory is None else INTERVAL) if w is not None), default=None)
        ready = {descriptor for descriptor, _ in poll.poll(None if wait is None else wait * 1000)}
        if ended in ready:
            os.close(ended)
            return None
        if ready:  # The executor never sends anything, so the lifeline has been closed.
            return ""
        memory = 0 if limits.memory is None else tree.resident(tree.descendants(os.getpid()))
        if problem := limits.problem(time.monotonic() - start, memory):
            return problem


def _tell(line: socket.socket, message: dict[str, Any]) -> None:
    with suppress(OSError):  # the executor has ended
        line.sendall(to_frame(message))
