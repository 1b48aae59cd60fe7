"""The messages between the client and the dask tasks of one run.

The messages go through two kinds of queues at the scheduler. Every task writes to the queue of the client. The client
answers each attempt at a task once, in a separate queue. If a worker is lost, the answer to the worker is lost too, and
the next attempt asks again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

from distributed import Client, Queue
from distributed.comm import CommClosedError

from robench.api.errors import UserError
from robench_plugins.executors.isolation.frames import from_frame, to_frame

MOST = 64  # the most messages that wait at the scheduler; beyond this number their senders wait
MOST_PIECES = 4  # a smaller number for pieces of files, which are larger
POLL = 0.5  # the most seconds to wait for one operation of a queue


@contextmanager
def scheduler_needed() -> Iterator[None]:
    """Raises a ``UserError`` if the scheduler ends within the block."""
    try:
        yield
    except CommClosedError:
        hint = "finished cells are kept: run again to continue"
        raise UserError("the scheduler of the cluster has ended", path="--executor dask", hint=hint) from None


class Hello(TypedDict):
    """The first message of an attempt at a task.

    ``versions`` are those of the worker. ``lacks`` are the files that the worker needs. ``host`` is the name of the
    worker's machine.
    """

    versions: dict[str, str]
    lacks: list[str]
    host: str


class Go(TypedDict):
    """The answer to ``Hello``, with the number of the task's finished cells.

    The content of the files follows, in pieces.
    """

    finished: int


class Message(TypedDict, total=False):
    """A message of an attempt at a task.

    ``task`` and ``attempt`` are the ids of the task and the attempt. ``hello`` is in the first message, and ``end`` is
    True in the last one. ``events`` are in the messages between them.
    """

    task: str
    attempt: str
    hello: Hello
    events: list[dict[str, Any]]
    end: bool


class Mailbox:
    """A queue at the scheduler.

    Args:
        name: the name of the queue. If there is no such queue, it is created.
        client: a client of the scheduler.
        most: the number of messages that may wait.
    """

    def __init__(self, name: str, client: Client, most: int = MOST) -> None:
        self._queue = Queue(name, client=client, maxsize=most)

    def put(self, message: Any) -> bool:
        """Adds a message and returns False if the queue stayed full for a while."""
        try:
            with scheduler_needed():
                self._queue.put(to_frame(message), timeout=POLL)
        except TimeoutError:
            return False
        return True

    def get(self) -> Iterator[Any]:
        """Yields the messages that are waiting.

        If there are none, the method waits a short time for the first message.
        """
        try:
            with scheduler_needed():
                first = self._queue.get(timeout=POLL)
        except TimeoutError:
            return
        yield from_frame(first)
        yield from self.get_all()

    def get_all(self) -> Iterator[Any]:
        """Yields the messages that are waiting."""
        with scheduler_needed():
            waiting = self._queue.get(batch=True)
        yield from map(from_frame, waiting)

    def close(self) -> None:
        """Reports that this process no longer needs the queue.

        The scheduler removes the queue when the client and the worker have closed it.
        """
        self._queue.close()


def answer_box(attempt: str, client: Client) -> Mailbox:
    """Returns the queue for the answer to an attempt at a task."""
    return Mailbox(f"robench-{attempt}", client, MOST_PIECES)
