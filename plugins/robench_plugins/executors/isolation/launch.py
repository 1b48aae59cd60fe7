"""Starts each task in a separate process and passes on the events."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from multiprocessing.util import register_after_fork
from types import ModuleType, TracebackType
from typing import Any, ClassVar, Self

from robench.api import Emit, Task, Work
from robench_plugins.executors.isolation import tree
from robench_plugins.executors.isolation.ending import describe_exit
from robench_plugins.executors.isolation.process import TaskProcess
from robench_plugins.executors.isolation.server import REQUEST, serve
from robench_plugins.executors.isolation.spawned import work_alone

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# By default glibc returns freed memory to the system at once, and every score matrix then causes page faults.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
FORKS = sys.platform == "linux"
TURN = 1.0  # the most seconds between two checks of tasks without events


class Launcher:
    """A launcher of tasks that are measured by the same function.

    A launcher is a context manager. Leaving the context ends all remaining tasks.

    Args:
        work: the function that measures a task.
        threads: the threads of the numerical libraries in each worker.
        forks: whether a fork server starts the workers. Otherwise each worker is spawned.
    """

    context: ClassVar[SpawnContext] = multiprocessing.get_context("spawn")  # starts the server and spawned workers

    def __init__(self, work: Work, threads: int, *, forks: bool = FORKS) -> None:
        self.work, self.threads, self.forks = work, threads, forks
        self._server: BaseProcess | None = None
        self._control: socket.socket | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Returns the launcher."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends all remaining tasks and the fork server."""
        self._stop_server()

    def run(self, tasks: Sequence[Task], workers: int, emit: Emit) -> None:
        """Runs tasks in order and passes on their events.

        Args:
            tasks: the tasks.
            workers: the number of tasks at a time.
            emit: the function that receives the events.
        """
        self.run_at([{}] * workers, tasks, emit)

    def run_at(self, places: Sequence[Mapping[str, Any]], tasks: Sequence[Task], emit: Emit) -> None:
        """Runs tasks in order at the given places, such as GPUs, and passes on events.

        Args:
            places: what each place adds to the payload of its tasks. A place has one task at a time.
            tasks: the tasks.
            emit: the function that receives the events.
        """
        queue, free = list(tasks)[::-1], list(places)
        running: list[TaskProcess] = []
        at: dict[str, Mapping[str, Any]] = {}  # the place of each running task
        try:
            while queue or running:
                while queue and free:
                    task = queue.pop()
                    at[task.id] = free.pop(0)
                    running.append(self.start(replace(task, payload={**task.payload, **at[task.id]})))
                self._continue_server()
                wait([one for process in running for one in process.sockets()], TURN)
                for process in running:
                    for event in process.read():
                        emit(event)
                free += [at[process.task.id] for process in running if process.ended]
                running = [process for process in running if not process.ended]
        finally:  # an error or the user may end the run early
            for process in running:
                process.end()
            for process in running:
                process.close()

    def start(self, task: Task) -> TaskProcess:
        """Starts a task and returns its process.

        The caller must read the process until it has ended, or close it.
        """
        if self.forks:  # a server forked later would keep copies of the sockets, and the task would never end
            with self._lock:
                self._connect()
        events, lifeline = socket.socketpair(), socket.socketpair()
        for pair in (events, lifeline):
            register_after_fork(pair[0], socket.socket.close)  # a copy in another process would keep the task alive
        if self.forks:
            self._request(task, events[1], lifeline[1])
            process = TaskProcess(task, events[0], lifeline[0])
        else:
            spawned = self._process(work_alone, self.work, task, events[1], lifeline[1])
            process = TaskProcess(task, events[0], lifeline[0], lambda: _cause(spawned))
        events[1].close()
        lifeline[1].close()
        return process

    def _request(self, task: Task, events: socket.socket, lifeline: socket.socket) -> None:
        """Asks the fork server for a keeper and restarts the server if it is dead."""
        file = os.memfd_create("task")
        try:
            with os.fdopen(os.dup(file), "wb") as content:
                pickle.dump(task, content)
            os.lseek(file, 0, os.SEEK_SET)
            descriptors = [file, events.fileno(), lifeline.fileno()]
            with self._lock:
                try:
                    socket.send_fds(self._connect(), [REQUEST], descriptors)
                except OSError:
                    self._stop_server()
                    socket.send_fds(self._connect(), [REQUEST], descriptors)
        finally:
            os.close(file)

    def _connect(self) -> socket.socket:
        """Returns the socket to the fork server and starts a server if there is none."""
        if self._control is None:
            self._control, theirs = socket.socketpair()
            register_after_fork(self._control, socket.socket.close)
            self._server = self._process(serve, theirs, self.work)
            theirs.close()
        return self._control

    def _continue_server(self) -> None:
        """Resumes the fork server if a worker has stopped it."""
        if self._server is not None and self._server.pid and tree.is_stopped(self._server.pid):
            with suppress(OSError):
                os.kill(self._server.pid, signal.SIGCONT)

    def _stop_server(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._server is not None:
            if self._server.pid:
                tree.end(tree.descendants(self._server.pid))  # orphans of keepers that were killed
            self._server.kill()
            self._server.join()
        self._control = self._server = None

    def _process(self, target: Callable[..., None], *arguments: object) -> BaseProcess:
        process: BaseProcess = self.context.Process(target=target, args=arguments)
        hidden = nullcontext() if self.work.__module__ == "__main__" else without_main()
        with environment(self.threads), trusted_path(), hidden, interrupts_blocked():
            process.start()
        return process


def _cause(process: BaseProcess) -> str:
    process.join()
    return describe_exit(process.exitcode or 0)


@contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Blocks SIGINT for a block of code, if the system can block signals.

    Threads and processes that this thread starts in the block of code inherit the blocked signal. Otherwise, an early
    Ctrl-C would print the traceback of a process that is still importing its libraries. If the signal arrives during
    the block of code, this process receives the signal afterwards. The fork server and spawned workers unblock SIGINT
    with ``ignore_interrupts``.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its start, which multiprocessing causes otherwise, ends every block of SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def environment(threads: int) -> Iterator[None]:
    """Sets the environment variables that workers inherit, for a block of code.

    The variables are thread counts, settings of the allocator and ``PYTHONSAFEPATH``. The thread counts replace those
    of the user. The numerical libraries read thread counts during import. Allocator settings that the user has chosen
    are kept. With ``PYTHONSAFEPATH``, a new Python imports nothing from the current folder.
    """
    given = dict.fromkeys(THREAD_VARIABLES, str(threads)) | {"PYTHONSAFEPATH": "1"}
    given |= {name: value for name, value in ALLOCATOR.items() if name not in os.environ}
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def trusted_path() -> Iterator[None]:
    """Moves the current folder to the end of the import path, for a block of code.

    An interactive Python would search this folder first.
    """
    before = list(sys.path)
    sys.path[:] = [place for place in before if place] + [os.getcwd() for place in before if not place]
    try:
        yield
    finally:
        sys.path[:] = before


@contextmanager
def without_main() -> Iterator[None]:
    """Hides the main script during a block of code.

    Otherwise a new process would import the script and start the same run again.
    """
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script
