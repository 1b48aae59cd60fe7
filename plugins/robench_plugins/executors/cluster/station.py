"""Measures the victim of a dask task in a subprocess.

The functions run in a dask worker. The worker's event loop never waits for them.
"""

from __future__ import annotations

import multiprocessing
import pickle
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import wait
from typing import Any

from distributed import Worker, get_client, get_worker

from robench.api import Emit, Task
from robench.pretrained import cache_folder
from robench_plugins.executors.cluster.files import find_lacking, write_pieces
from robench_plugins.executors.cluster.mailbox import Go, Hello, Mailbox, Message, answer_box
from robench_plugins.executors.cluster.versions import collect_versions
from robench_plugins.executors.isolation.launch import Launcher

TURN = 0.5  # the most seconds between two checks of a silent task and of its client
IDLE = 60.0  # the seconds after which a fork server without tasks ends


class PickledWork:
    """The pickled function that measures a task.

    A dask worker passes the function on without importing torch.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __call__(self, task: Task, emit: Emit) -> None:
        """Measures a task."""
        pickle.loads(self.content)(task, emit)  # from the client; dask has already unpickled the client's task

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        """Pickles this object as the plain function, for the fork server.

        The fork server therefore imports the function's module once, and not once per task.
        """
        return pickle.loads, (self.content,)


class Launchers:
    """The launchers of this process, by work function and number of threads.

    A launcher is closed if it has had no task for a while.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._launchers: dict[tuple[bytes, int], Launcher] = {}
        self._tasks: dict[tuple[bytes, int], int] = {}
        self._timers: dict[tuple[bytes, int], threading.Timer] = {}

    @contextmanager
    def use(self, work: bytes, threads: int) -> Iterator[Launcher]:
        """Yields a launcher, which stays open for a while after the block.

        Tasks that follow soon use the same launcher.
        """
        key = work, threads
        with self._lock:
            launcher = self._launchers.setdefault(key, Launcher(PickledWork(work), threads))
            self._tasks[key] = self._tasks.get(key, 0) + 1
            if timer := self._timers.pop(key, None):
                timer.cancel()
        try:
            yield launcher
        finally:
            with self._lock:
                self._tasks[key] -= 1
                if not self._tasks[key]:
                    self._timers[key] = timer = threading.Timer(IDLE, self._close, [key])
                    timer.daemon = True
                    timer.start()

    def _close(self, key: tuple[bytes, int]) -> None:
        with self._lock:
            if not self._tasks[key] and key in self._launchers:
                self._launchers.pop(key).__exit__(None, None, None)


LAUNCHERS = Launchers()


class QuietHook:
    """A hook for exceptions that Python cannot raise.

    Exceptions from the deletion of dask's clients are dropped. If a cluster ends during a task, a worker closes its
    event loop before its client, and the client complains with a traceback.

    Args:
        hook: the hook for all other exceptions.
    """

    def __init__(self, hook: Callable[[Any], object]) -> None:
        self.hook = hook

    def __call__(self, ignored: Any) -> None:
        """Passes an exception on, unless the deletion of a dask client raised it."""
        if getattr(ignored.object, "__qualname__", "") != "Client.__del__":
            self.hook(ignored)


class _ReleasedError(Exception):
    """Raised if the client has ended or has cancelled the task."""


def measure(work: bytes, task: Task, mailbox: str) -> None:
    """Measures one victim in a subprocess and sends the events to the client.

    Args:
        work: the pickled function that measures a task.
        task: the task.
        mailbox: the name of the client's queue.
    """
    if not isinstance(sys.unraisablehook, QuietHook):
        sys.unraisablehook = QuietHook(sys.unraisablehook)
    attempt = Attempt(task, mailbox)
    try:
        finished = attempt.begin()
        cells = task.payload.get("cells", ())[finished:]
        if cells or not finished:
            payload = {**task.payload, "cells": cells, "cache": str(cache_folder())}
            with LAUNCHERS.use(work, int(payload.get("threads", 1))) as launcher:
                attempt.pass_on(launcher, replace(task, payload=payload))
        attempt.send({"end": True})
    except _ReleasedError:
        attempt.forget()
    finally:
        attempt.close()


class Attempt:
    """One attempt at a task in this dask worker, and its messages to the client.

    Args:
        task: the task.
        mailbox: the name of the client's queue.
    """

    def __init__(self, task: Task, mailbox: str) -> None:
        self.task, self.name = task, uuid.uuid4().hex
        worker = get_worker()
        self._released = _release_check(worker, worker.get_current_task())
        client = get_client()
        self._out, self._answer = Mailbox(mailbox, client), answer_box(self.name, client)

    def begin(self) -> int:
        """Gets the files that this machine lacks.

        Returns:
            The number of cells that are already finished.

        Raises:
            _ReleasedError: if the client has ended or has cancelled the task.
        """
        folder = cache_folder()
        lacks = find_lacking(folder, self.task.payload.get("files") or {})
        self.send({"hello": Hello(versions=collect_versions(), lacks=lacks, host=socket.gethostname())})
        answers = self._answers()
        go: Go = next(answers)
        for name in lacks:
            write_pieces(folder / name, answers)
        return go["finished"]

    def pass_on(self, launcher: Launcher, task: Task) -> None:
        """Runs a task in a subprocess and sends its events.

        Raises:
            _ReleasedError: if the client has ended or has cancelled the task.
        """
        with _children_allowed():
            process = launcher.start(task)
        try:
            while not process.ended:
                wait(process.sockets(), TURN)
                if events := list(process.read()):
                    self.send({"events": [dict(event) for event in events]})
                self._check()
        finally:
            process.close()

    def send(self, message: Message) -> None:
        """Sends a message to the client and waits while the queue is full.

        Raises:
            _ReleasedError: if the client ends or cancels the task in the meantime.
        """
        whole = Message(**message, task=self.task.id, attempt=self.name)
        while not self._out.put(whole):
            self._check()

    def forget(self) -> None:
        """Empties the queue of a client that no longer reads it."""
        with suppress(Exception):  # another task may have closed the queue
            list(self._out.get_all())

    def close(self) -> None:
        """Closes the queues of this attempt."""
        self._answer.close()
        self._out.close()

    def _answers(self) -> Iterator[Any]:
        while True:
            self._check()
            yield from self._answer.get()

    def _check(self) -> None:
        if self._released():
            raise _ReleasedError


def _release_check(worker: Worker, key: Any) -> Callable[[], bool]:
    """Returns a function that checks whether the client has released a running task."""

    def released() -> bool:
        state = worker.state.tasks.get(key)
        return state is None or state.state == "cancelled"

    return released


@contextmanager
def _children_allowed() -> Iterator[None]:
    """Allows this process to start the fork server in a block of code.

    A dask worker is a daemon process, and multiprocessing allows no children for daemon processes.
    """
    settings: dict[str, Any] = multiprocessing.current_process()._config  # type: ignore[attr-defined]
    before = settings.get("daemon")
    settings["daemon"] = False
    try:
        yield
    finally:
        settings["daemon"] = before
