"""The executor's side of a running task."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from robench.api import Task
from robench.api.executor import Event
from robench_plugins.executors.isolation import tree
from robench_plugins.executors.isolation.frames import LARGEST, Frames, RefusedError
from robench_plugins.executors.isolation.heartbeat import BEAT
from robench_plugins.executors.isolation.worker import DONE

LOOK = 0.5  # the seconds between two checks of the keeper
MOST_STOPS = 3  # a keeper that is stopped more often is ended with its worker
SILENCE = 60.0  # the seconds without an event or a beat after which a task is reported
LONG = 180.0  # the seconds without an event after which a busy task is mentioned
PATIENCE = 5.0  # the most seconds to wait for a task that was asked to end
VANISHED = "the keeper of the worker was killed, or could not start it"


class TaskProcess:
    """A task in a separate process.

    Args:
        task: the task.
        events: this side of the socket for events.
        lifeline: this side of the lifeline. Closing it ends the task.
        cause: a function that describes the end of the process. It is called if no description came over the lifeline.

    Attributes:
        ended: True if the task's processes have ended, and every event was read.
    """

    def __init__(
        self, task: Task, events: socket.socket, lifeline: socket.socket, cause: Callable[[], str] = lambda: VANISHED
    ) -> None:
        self.task, self.ended = task, False
        largest = task.payload.get("largest", LARGEST)
        self._events, self._line, self._cause = Frames(events, largest), Frames(lifeline), cause
        self._pid = self._keeper = self._stops = 0
        self._looked = time.monotonic()
        self._done = False
        self._ending: Mapping[str, Any] | None = None
        self._refusal = ""
        self._heard, self._reported = time.monotonic(), False  # of events and beats
        self._moved, self._mentioned = time.monotonic(), False  # of events
        self._progress = ""

    def sockets(self) -> list[socket.socket]:
        """Returns the sockets on which messages may arrive."""
        return [frames.connection for frames in (self._events, self._line) if frames.open]

    def read(self) -> Iterator[Event]:
        """Yields the events that have arrived, without waiting.

        The method also yields notes about silent tasks. ``lost`` is the last event of a failed task.
        """
        self._read_line()
        yield from self._read_events()
        if self._line.open:
            self._continue_keeper()
            yield from self._silence()
        elif not (self._events.open and self._events.fresh):  # everything that was sent has been read
            yield from self._conclude()

    def end(self) -> None:
        """Asks the task to end."""
        with suppress(OSError):
            self._line.connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Ends the task, waits for its end, and closes the sockets.

        The method waits for at most five seconds. If the task has not begun, the method does not wait, because the
        keeper finds the lifeline closed and ends at once.
        """
        self.end()
        limit = time.monotonic() + PATIENCE
        self._read_line()
        while self._pid and self._line.open and time.monotonic() < limit:
            self._read_line()
            time.sleep(0.005)
        self._events.close()
        self._line.close()
        self.ended = True

    def _read_line(self) -> None:
        if not self._line.open:
            return
        with suppress(RefusedError):
            for message in self._line.read():
                if message["kind"] == "started":
                    self._pid, self._keeper = message["pid"], message.get("keeper", 0)
                else:
                    self._ending = message
                    self._line.open = False

    def _read_events(self) -> Iterator[Event]:
        if not self._events.open:
            return
        try:
            for event in self._events.read():
                self._heard, self._reported = time.monotonic(), False
                if isinstance(event, str) and event == BEAT:
                    continue
                self._moved, self._mentioned = self._heard, False
                if isinstance(event, str) and event == DONE:
                    self._done = True
                elif not self._done:
                    yield self._checked(event)
        except RefusedError as error:
            self._refusal = f"the worker was ended: {error}"
            self._events.close()
            self.end()

    def _checked(self, event: Any) -> Event:
        """Returns an event, after checking that it belongs to this task.

        Raises:
            RefusedError: if the message is not an event, or belongs to another task.
        """
        if not isinstance(event, dict) or not isinstance(event.get("kind"), str):
            raise RefusedError("it sent a message that is not an event")
        task = event.setdefault("task", self.task.id)
        if not isinstance(task, str) or task != self.task.id:
            raise RefusedError("it sent an event of another task")
        if event["kind"] == "progress":
            phase, done, total = (event.get(name) for name in ("phase", "done", "total"))
            if isinstance(phase, str) and isinstance(done, int) and isinstance(total, int):
                self._progress = f"{phase} {done} of {total}"
        return event

    def _conclude(self) -> Iterator[Event]:
        ending = self._ending
        if ending is None:
            ending = {"error": self._cause(), "again": True}
        if self._pid and not ending.get("swept") and hasattr(os, "killpg"):  # no keeper has ended the group
            with suppress(OSError):
                os.killpg(self._pid, signal.SIGKILL)
        self._events.close()
        self._line.close()
        self.ended = True
        if self._refusal:
            yield {"kind": "lost", "task": self.task.id, "error": self._refusal, "again": False}
        elif not self._done:
            yield {"kind": "lost", "task": self.task.id, "error": ending["error"], "again": ending["again"]}

    def _continue_keeper(self) -> None:
        """Resumes a stopped keeper, or ends keeper and worker after repeated stops.

        A stopped keeper would enforce no limit, and would not report the end of the worker.
        """
        if not self._keeper or time.monotonic() - self._looked < LOOK:
            return
        self._looked = time.monotonic()
        if not tree.is_stopped(self._keeper):
            return
        self._stops += 1
        if self._stops <= MOST_STOPS:
            with suppress(OSError):
                os.kill(self._keeper, signal.SIGCONT)
            return
        self._refusal = "the worker was ended: its keeper was stopped by a signal again and again"
        tree.end([*tree.descendants(self._keeper), self._keeper])

    def _silence(self) -> Iterator[Event]:
        """Yields a note about a task that sends no messages or no events.

        There is a note after a minute without events and beats. A task that sends beats gets a note after three minutes
        without an event. The first note is repeated only after a new message, and the second only after a new event.
        """
        now = time.monotonic()
        if now - self._heard >= SILENCE:
            if not self._reported:
                self._reported = True
                yield self._note(f"silent for {SILENCE:.0f} s{self._activity()}")
        elif now - self._moved >= LONG and not self._mentioned:
            self._mentioned = True
            yield self._note(f"still at work, {LONG / 60:.0f} min after {self._progress or 'its start'}")

    def _note(self, text: str) -> Event:
        return {"kind": "note", "task": self.task.id, "text": text}

    def _activity(self) -> str:
        """Describes what a silent process is doing, if the system reports it."""
        if not self._pid or not tree.PROC.is_dir():
            return ""
        if tree.is_stopped(self._pid):
            return f": its process {self._pid} is stopped; kill -CONT {self._pid} continues it"
        used = tree.processor_seconds([self._pid, *tree.descendants(self._pid)])
        return f": its process {self._pid} is alive, and has used {used:.0f} s of processor time so far"
