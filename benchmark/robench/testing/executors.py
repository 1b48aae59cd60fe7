"""Conformance tests for executors."""

from __future__ import annotations

import os
import signal
from typing import ClassVar

from robench.api.executor import Emit, Event, Executor, Task
from robench.testing.conformance import Conformance


def echo(task: Task, emit: Emit) -> None:
    """Emits an event with the entry ``say`` of a task's payload.

    If the payload has a true entry ``die``, the function kills its own process instead.
    """
    if task.payload.get("die"):
        os.kill(os.getpid(), signal.SIGKILL)
    emit({"kind": "cell", "task": task.id, "said": task.payload["say"]})


class ExecutorTests(Conformance):
    """Tests an ``Executor``, which a subclass sets as ``executor``."""

    executor: ClassVar[type[Executor]]

    def run(self, tasks: list[Task]) -> list[Event]:
        events: list[Event] = []
        with self.executor.make(**self.settings) as executor:
            executor.run(tasks, echo, events.append)
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
