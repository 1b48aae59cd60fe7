"""The base class of executors, which run the tasks of a suite."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from robench.api.component import Component

Event = Mapping[str, Any]
Emit = Callable[[Event], None]


@dataclass(frozen=True)
class Task:
    """One victim and the cells of this victim that still have to be measured.

    A task is plain data, so an executor can send the task to another process or machine.

    Args:
        id: the id of the task.
        payload: the plain data that the work needs. ``Executor.run`` describes the entries that executors may use.
    """

    id: str
    payload: Mapping[str, Any]


Work = Callable[[Task, Emit], None]


class Executor(Component):
    """A component that runs tasks on this machine or elsewhere.

    An executor passes the events of its tasks to the host. An executor is also a context manager. The host enters the
    context before any work, and calls ``run`` at most twice inside.
    """

    @property
    def elsewhere(self) -> bool:
        """True if tasks run on other machines, which may have other devices."""
        return False

    def __enter__(self) -> Self:
        """Prepares the resources that all calls of ``run`` share.

        Raises:
            UserError: if a setting is wrong, or if a package or a resource is missing.
        """
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Releases the resources that ``__enter__`` prepared."""

    @abstractmethod
    def run(self, tasks: Sequence[Task], work: Work, emit: Emit) -> None:
        """Runs ``work(task, emit)`` for every task.

        If the process of a task dies, the executor emits ``{"kind": "lost", "task": id, "error": text}`` and continues
        with the other tasks. The host then calls ``run`` a second time with the remaining cells of this task, unless
        the event has ``"again": False``. To show a line to the user, an executor emits ``{"kind": "note", "task": id,
        "text": text}``.

        The following entries of a payload concern executors:

        - ``cells`` lists the cells. The work emits one event of the kind ``cell`` per cell, in this order. If an
          executor starts a task again, it must leave out every cell for which it has already passed on an event.
        - ``cache`` is the folder of the cache. ``files`` gives the sha256 of each file that the task reads there, by
          the file's path in the folder. An executor on other machines sends these files, and sets ``cache`` to the
          folder on the other machine.
        - ``device`` is the device of the suite. To choose a GPU for a task, an executor may change ``device`` and
          ``environment``. ``environment`` holds the variables that the process of the task sets before it uses CUDA.
        - ``threads`` is the number of threads for the numerical libraries.
        - ``limits`` holds the limits ``seconds`` and ``memory`` (in bytes) that the suite sets. The executor ends a
          task that exceeds a limit.
        - ``largest`` is the maximum size of an event in bytes. The executor must refuse larger events if it does not
          trust the process that sent them.

        Args:
            tasks: the tasks, in the order in which to start them.
            work: the function that runs one task. The function and its events can be pickled.
            emit: the function that receives each event. The executor must call this function in its own process.
        """
