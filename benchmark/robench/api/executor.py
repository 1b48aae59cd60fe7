"""Executors: where victims are fitted and measured."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from robench.api.component import Component

Event = Mapping[str, Any]
Emit = Callable[[Event], None]


@dataclass(frozen=True)
class Task:
    """One victim with the cells that are still to be measured; plain data, so that it can travel."""

    id: str
    payload: Mapping[str, Any]


Work = Callable[[Task, Emit], None]


class Executor(Component):
    """Runs tasks somewhere and passes on what they emit."""

    @abstractmethod
    def run(self, tasks: Sequence[Task], work: Work, emit: Emit) -> None:
        """Run ``work(task, emit)`` for every task; ``work`` and the events can be pickled.

        ``emit`` is called in this process. A task whose process dies is answered with the event
        ``{"kind": "lost", "task": id, "error": text}``, and the others go on.
        """
