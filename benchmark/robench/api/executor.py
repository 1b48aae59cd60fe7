"""The base class of executors, which run the tasks of a suite."""

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
    """One victim with the cells that are still to be measured.

    It is plain data, so that it can be sent to another process or machine.
    """

    id: str
    payload: Mapping[str, Any]


Work = Callable[[Task, Emit], None]


class Executor(Component):
    """Runs tasks, here or elsewhere, and passes on the events that they emit."""

    @abstractmethod
    def run(self, tasks: Sequence[Task], work: Work, emit: Emit) -> None:
        """Runs ``work(task, emit)`` for every task.

        If the process of a task dies, the executor emits ``{"kind": "lost", "task": id, "error": text}`` and goes on
        with the others. The host gives it what is left of such a task once more, by a second call of ``run``. With
        ``"again": False`` in the event it does not. An executor may have a line for the user, too:
        ``{"kind": "note", "task": id, "text": text}``.

        A payload has ``device``, the device of the suite. An executor may choose a GPU for a task by other values of
        ``device`` and of ``environment``, the variables that its process sets before it uses CUDA.

        A payload has ``threads``, the threads of the numerical libraries, and ``limits``: ``seconds`` and ``memory`` in
        bytes, if the suite sets them. The executor ends a task that exceeds one.

        Args:
            tasks: the tasks, in the order in which to start them.
            work: the function that measures one task. It and the events that it emits can be pickled.
            emit: the function that receives each event. It must be called in this process.
        """
