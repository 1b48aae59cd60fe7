"""TODO-DOC."""

from __future__ import annotations

import os
import signal
from typing import Any, ClassVar

from robench.api.executor import Emit, Executor, Task


def echo(task: Task, emit: Emit) -> None:
    """Work for tests of executors: says its payload; ``{"die": True}`` ends the process."""
    if task.payload.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    emit({"kind": "cell", "task": task.id, "said": task.payload["say"]})


class ExecutorTests:
    """Subclass with ``executor = Mine``."""

    executor: ClassVar[type[Executor]]
    settings: ClassVar[dict[str, Any]] = {}

    def run(self, tasks: list[Task]) -> list[Any]:
        events: list[Any] = []
        self.executor.make(**self.settings).run(tasks, echo, events.append)
        return events

    def test_every_task_is_done_once(self) -> None:
        events = self.run([Task(str(n), {"say": n}) for n in range(5)])
        assert sorted(event["said"] for event in events) == list(range(5))

    def test_no_task_no_event(self) -> None:
        assert self.run([]) == []

    def test_a_worker_that_dies_costs_its_own_task(self) -> None:
        events = self.run([Task("a", {"say": 1}), Task("b", {"die": True}), Task("c", {"say": 3})])
        assert sorted(event["said"] for event in events if event["kind"] == "cell") == [1, 3]
        assert [event["task"] for event in events if event["kind"] == "lost"] == ["b"]
