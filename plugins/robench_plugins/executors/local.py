"""The executor that runs victims in worker processes on this machine."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, ClassVar, cast

from pydantic import Field

from robench.api import BaseConfig, Emit, Executor, Task, Work

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# glibc hands freed memory back to the system at once, and every score matrix is then paid for in page faults.
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}


class Local(Executor):
    """Runs tasks in worker processes, each with the threads of the suite. This process never fits a model.

    Workers are started afresh (spawn). A worker that dies loses only its own task, which is reported as ``lost``.
    A new worker takes its place.
    """

    class Config(BaseConfig):
        """Settings."""

        workers: int | None = Field(
            default=None, ge=1, description="Processes; if `null`, as many as the cores that this process may use"
        )

    config: Config
    context: ClassVar[SpawnContext] = multiprocessing.get_context("spawn")  # a worker shares nothing with this process

    def run(self, tasks: Sequence[Task], work: Work, emit: Emit) -> None:
        """Gives the tasks to the workers, in order, and passes on their events."""
        queue = list(tasks)[::-1]
        count = min(self.config.workers or cores(), len(queue))
        threads = max((int(task.payload.get("threads", 1)) for task in tasks), default=1)
        workers: dict[Connection, _Worker] = {}
        try:
            while queue or workers:
                with _environment(threads):
                    while queue and len(workers) < count:
                        worker = _Worker(work, self.context)
                        workers[worker.pipe] = worker
                        worker.give(queue.pop())
                for ready in wait(list(workers)):
                    pipe = cast("Connection", ready)  # on Windows it is of another class
                    worker = workers[pipe]
                    event = worker.next_event()
                    if event is not None and event["kind"] != "idle":
                        emit(event)
                        continue
                    if event is None:
                        emit({"kind": "lost", "task": worker.task.id, "error": worker.cause_of_death()})
                    if event is not None and queue:
                        worker.give(queue.pop())
                    else:
                        worker.stop()
                        del workers[pipe]
        finally:
            for worker in workers.values():
                worker.kill()


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Worker:
    """A worker process, and the end of its pipe on this side."""

    task: Task

    def __init__(self, work: Work, context: SpawnContext) -> None:
        self.pipe, other = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(other, work), daemon=True)
        with nullcontext() if work.__module__ == "__main__" else _without_main():
            self.process.start()
        other.close()

    def give(self, task: Task) -> None:
        """Sends a task. If the worker is already dead, the next event shows it."""
        self.task = task
        try:
            self.pipe.send(task)
        except OSError:
            self.process.kill()

    def next_event(self) -> dict[str, Any] | None:
        """Returns the next event of the worker; None if it has died."""
        try:
            event: dict[str, Any] = self.pipe.recv()
        except (EOFError, OSError):
            return None
        return event

    def cause_of_death(self) -> str:
        """Describes how the worker died."""
        self.process.join()
        code = self.process.exitcode
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        return f"the worker process died ({how}); out of memory is the usual cause of signal 9"

    def stop(self) -> None:
        """Lets the worker end by itself."""
        self.pipe.close()
        self.process.join()

    def kill(self) -> None:
        """Ends the worker at once."""
        self.process.kill()
        self.process.join()


def _serve(pipe: Connection, work: Work) -> None:
    """Runs tasks and sends their events, then ``idle``, until the other side closes the pipe."""
    try:
        while True:
            work(pipe.recv(), pipe.send)
            pipe.send({"kind": "idle"})
    except (EOFError, OSError, KeyboardInterrupt):
        return


@contextmanager
def _environment(threads: int) -> Iterator[None]:
    """Sets the variables that workers inherit: thread counts and, unless the user has set them, the allocator's.

    The numerical libraries read thread counts when they are imported.
    """
    given = dict.fromkeys(THREAD_VARIABLES, str(threads))
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
def _without_main() -> Iterator[None]:
    """Hides the main script. A new process would import it, which would start the same run again."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script
