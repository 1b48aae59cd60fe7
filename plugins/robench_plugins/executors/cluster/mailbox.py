"""The messages between the client and the dask tasks of one run, which go through two kinds of queues at the scheduler.

Every task writes to the queue of the client. The client answers a task once, in a queue of this attempt: a worker that
is lost takes its answer with it, and the next attempt asks again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypedDict

from distributed import Client, Queue

from robench_plugins.executors.isolation.frames import from_frame, to_frame

MOST = 64  # messages that wait at the scheduler before their senders wait, too
MOST_PIECES = 4  # of files, which are larger
POLL = 0.5  # seconds that one look at a queue waits


class Hello(TypedDict):
    """The first message of an attempt at a task.

    ``lacks`` are the files that the worker needs, ``host`` is the name of its machine.
    """

    versions: dict[str, str]
    lacks: list[str]
    host: str


class Go(TypedDict):
    """The answer to ``Hello``: how many cells of the task are finished already. The pieces of the files follow."""

    finished: int


class Message(TypedDict, total=False):
    """A message of an attempt at a task: ``hello`` is the first one, and ``end`` is True in the last one."""

    task: str
    attempt: str
    hello: Hello
    events: list[dict[str, Any]]
    end: bool


class Mailbox:
    """A queue at the scheduler.

    Args:
        name: the name of the queue, which is made if it does not exist.
        client: a client of the scheduler.
        most: the number of messages that may wait.
    """

    def __init__(self, name: str, client: Client, most: int = MOST) -> None:
        self._queue = Queue(name, client=client, maxsize=most)

    def put(self, message: Any) -> bool:
        """Adds a message, and returns False if the queue stayed full for a while."""
        try:
            self._queue.put(to_frame(message), timeout=POLL)
        except TimeoutError:
            return False
        return True

    def get(self) -> Iterator[Any]:
        """Yields a message as soon as there is one, with those that wait, or none after a while."""
        try:
            yield from_frame(self._queue.get(timeout=POLL))
        except TimeoutError:
            return
        yield from self.get_all()

    def get_all(self) -> Iterator[Any]:
        """Yields the messages that wait."""
        yield from map(from_frame, self._queue.get(batch=True))

    def close(self) -> None:
        """Says that this side needs the queue no longer. The scheduler forgets it when both sides have said so."""
        self._queue.close()


def answer_box(attempt: str, client: Client) -> Mailbox:
    """Returns the queue in which an attempt at a task gets its answer."""
    return Mailbox(f"robench-{attempt}", client, MOST_PIECES)
