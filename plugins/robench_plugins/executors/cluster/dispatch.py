"""Submits the tasks of a run to a cluster and passes on their events.

A task is submitted only while the cluster has fewer than twice as many tasks as it can run at a time.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
from distributed import Client, Future

from robench.api import Emit, Task, Work
from robench.api.errors import UserError
from robench_plugins.executors.cluster.files import read_pieces
from robench_plugins.executors.cluster.mailbox import Go, Hello, Mailbox, Message, answer_box, scheduler_needed
from robench_plugins.executors.cluster.station import measure
from robench_plugins.executors.cluster.versions import collect_versions, find_difference
from robench_plugins.executors.devices import VISIBLE

log = logging.getLogger("robench")

AHEAD = 2  # the most tasks in flight, as a multiple of the tasks that the cluster can run at a time
RETRIES = 3  # the most repeated attempts if an attempt raises an exception; lost workers do not count
PATIENCE = 60.0  # the most seconds to wait until a worker takes its files
RESOURCE = "GPU"  # A worker declares this resource if it has a device of its own.


@dataclass
class _Running:
    """A task in flight, with its latest attempt and the number of its finished cells."""

    task: Task
    future: Future
    attempt: str = ""
    finished: int = 0


class Dispatch:
    """A dispatcher of one run: it submits tasks to a cluster, and passes on events.

    Args:
        client: the client of the cluster.
        work: the function that measures a task.
        emit: the function that receives the events.
    """

    def __init__(self, client: Client, work: Work, emit: Emit) -> None:
        self.client, self.emit = client, emit
        self._work = cloudpickle.dumps(work)
        self._name = f"robench-{uuid.uuid4().hex}"
        self._running: dict[str, _Running] = {}

    def run(self, tasks: Sequence[Task]) -> None:
        """Submits tasks in order and passes on their events until all tasks have ended."""
        waiting = list(tasks)[::-1]
        resources = self._resources(tasks)
        mailbox = Mailbox(self._name, self.client)
        try:
            while waiting or self._running:
                room = AHEAD * self._slots() - len(self._running) if waiting else 0
                for _ in range(min(room, len(waiting))):
                    self._submit(waiting.pop(), resources)
                self._receive(mailbox.get())
                ended = [one for one in self._running.values() if one.future.done()]
                self._receive(mailbox.get_all() if ended else ())
                for one in ended:
                    self._conclude(one)
        finally:  # an error or the user may end the run early
            if self._running:
                with suppress(OSError):  # the scheduler has ended
                    self.client.cancel([one.future for one in self._running.values()], force=True)
            mailbox.close()

    def _slots(self) -> int:
        """Returns the number of tasks that the cluster can run at a time.

        The number is at least 1, because the cluster may have no worker yet.
        """
        with scheduler_needed():
            return max(1, sum(map(int, self.client.nthreads().values())))

    def _resources(self, tasks: Sequence[Task]) -> dict[str, float]:
        """Returns the resources that a task needs on a worker.

        A task needs a device if some workers have one and the suite may use it.
        """
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        devices = any(worker.get("resources", {}).get(RESOURCE) for worker in workers)
        wanted = any(task.payload.get("device", "cpu") != "cpu" for task in tasks)
        return {RESOURCE: 1} if devices and wanted else {}

    def _submit(self, task: Task, resources: Mapping[str, float]) -> None:
        device: dict[str, Any] = {"device": "cuda"} if resources else {}  # the worker sees no other device
        if task.payload.get("device") == "cpu":
            device = {"environment": {VISIBLE: ""}}  # as on a machine without a cluster
        task = replace(task, payload={**task.payload, **device})
        key = f"robench-{task.id}-{uuid.uuid4().hex}"
        future = self.client.submit(
            measure, self._work, task, self._name, key=key, pure=False, retries=RETRIES, resources=dict(resources)
        )
        self._running[task.id] = _Running(task, future)

    def _receive(self, messages: Iterable[Message]) -> None:
        for message in messages:
            one = self._running.get(message["task"])
            if one is None:
                continue
            if "hello" in message:
                self._answer(one, message["attempt"], message["hello"])
            if message["attempt"] != one.attempt:  # this attempt has been given up
                continue
            for event in message.get("events", ()):
                one.finished += event["kind"] == "cell"
                self.emit(event)
            if message.get("end"):
                del self._running[one.task.id]

    def _answer(self, one: _Running, attempt: str, hello: Hello) -> None:
        """Answers the first message of an attempt.

        The answer includes the files that the worker lacks.

        Raises:
            UserError: if a version differs between the client and the worker.
        """
        if difference := find_difference(collect_versions(), hello["versions"]):
            raise UserError(f"a worker on {hello['host']} cannot be used: {difference}", path="--executor dask")
        if one.attempt:
            text = f"its dask worker was lost; it goes on at {hello['host']} after {one.finished} cells"
            self.emit({"kind": "note", "task": one.task.id, "text": text})
        one.attempt = attempt
        box = answer_box(attempt, self.client)
        try:
            if self._put(box, Go(finished=one.finished)):
                folder = Path(one.task.payload.get("cache", ""))
                all(self._put(box, piece) for name in hello["lacks"] for piece in read_pieces(folder / name))
        finally:
            box.close()

    def _put(self, box: Mailbox, message: Any) -> bool:
        """Sends a message and returns False if the queue stays full."""
        limit = time.monotonic() + PATIENCE
        while not box.put(message):
            if time.monotonic() > limit:
                return False
        return True

    def _conclude(self, one: _Running) -> None:
        """Reports a task as lost if its future ended before the last message arrived."""
        if self._running.pop(one.task.id, None) is None:
            return
        error = f"the dask task ended as {one.future.status}"
        if one.future.status == "error":
            raised = one.future.exception()
            error = f"the dask task failed: {type(raised).__name__}: {raised}"
        self.emit({"kind": "lost", "task": one.task.id, "error": error})
