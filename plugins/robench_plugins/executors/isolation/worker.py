"""The worker: a process that runs one task, sends its events, and exits."""

from __future__ import annotations

import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress

from robench.api import Task, Work
from robench_plugins.executors.isolation.frames import to_frame
from robench_plugins.executors.isolation.heartbeat import Heartbeat

DONE = "done"  # the last message of a worker, which is not an event


def do_task(work: Work, task: Task, events: socket.socket) -> None:
    """Runs a task, and then ends this process.

    Threads and exit handlers of a plugin cannot delay the exit.

    Args:
        work: the function that measures the task.
        task: the task.
        events: the socket for the task's events.
    """
    code = 1
    try:
        send = _sender(events)
        os.environ.update(task.payload.get("environment", {}))  # CUDA reads its variables only when it is first used
        Heartbeat(send).start()
        work(task, send)
        _flush()
        send(DONE)
        code = 0
    except BrokenPipeError:  # the executor no longer listens
        pass
    except BaseException:
        with suppress(BaseException):
            traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _sender(events: socket.socket) -> Callable[[object], None]:
    lock = threading.Lock()

    def send(message: object) -> None:
        frame = to_frame(message)
        with lock:
            events.sendall(frame)

    return send


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):  # a plugin may have closed or replaced it
            stream.flush()
