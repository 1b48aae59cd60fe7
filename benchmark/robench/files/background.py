"""Writes files in batches in a separate thread.

``BackgroundWriter.put`` waits for the disk only if the queue is full.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import NamedTuple

from robench.files.atomic import replacing

MOST_WAITING = 64  # the largest number of waiting groups; above this number, the caller has to wait
AT_ONCE = 8  # the number of files that are flushed at the same time


class File(NamedTuple):
    """The path and the content of a file to be written."""

    path: Path
    content: bytes


Group = tuple[File, ...]  # files that are written together; the last file appears after the others


class BackgroundWriter:
    """A thread that writes groups of files atomically, in the order of arrival.

    The groups that arrive while the disk is busy form the next batch. All files of a batch are first written, then
    flushed to the disk together, and finally renamed. After a power cut, the last file of a group is therefore either
    complete or as it was before. If this file is complete, the other files of the group are also complete.
    """

    def __init__(self) -> None:
        self._queue: Queue[Group | None] = Queue(MOST_WAITING)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, name="robench-writer", daemon=True)
        self._thread.start()

    def put(self, files: Sequence[File]) -> None:
        """Passes a group of files to the thread.

        After an error, the thread writes no further groups.

        Raises:
            OSError: if a file of an earlier group could not be written.
            UserError: if the path of a file in an earlier group is a folder that is not empty.
        """
        self._check()
        self._queue.put(tuple(files))

    def close(self) -> None:
        """Waits until every file is on the disk and ends the thread.

        Raises:
            OSError: if a file could not be written.
            UserError: if the path of a file is a folder that is not empty.
        """
        self._queue.put(None)
        self._thread.join()
        self._check()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            self._write_batches(threads)

    def _write_batches(self, threads: ThreadPoolExecutor) -> None:
        while (batch := self._next()) is not None:
            if self._error is None:  # after an error the queue is only emptied
                self._write(batch, threads)

    def _next(self) -> list[Group] | None:
        """Waits for a group and returns a batch that begins with this group.

        The batch also contains all other groups that are waiting. The result is None if the writer was closed.
        """
        group = self._queue.get()
        if group is None:
            return None
        batch = [group]
        while True:
            try:
                group = self._queue.get_nowait()
            except Empty:
                return batch
            if group is None:
                self._queue.put(None)  # the next item is the end mark
                return batch
            batch.append(group)

    def _write(self, batch: Sequence[Group], threads: ThreadPoolExecutor) -> None:
        try:
            write_batch(batch, threads)
        except BaseException:  # A single group may have caused the error, so each group is written separately.
            for group in batch:
                try:
                    write_batch([group], threads)
                except BaseException as error:  # the next call of put raises it
                    self._error = error
                    return


def write_group(files: Sequence[File]) -> None:
    """Writes one group of files atomically.

    The last file appears after the others.

    Raises:
        OSError: if a file cannot be written.
        UserError: if a path is a folder that is not empty.
    """
    with ThreadPoolExecutor(AT_ONCE) as threads:
        write_batch([tuple(files)], threads)


def write_batch(batch: Sequence[Group], threads: ThreadPoolExecutor) -> None:
    """Writes several groups of files, each file atomically.

    The last file of each group appears after the others.

    Args:
        batch: the groups.
        threads: the threads that flush files. Starting new threads for each batch would take most of the CPU time.

    Raises:
        OSError: if a file cannot be written. Files that have already appeared remain.
        UserError: if a path is a folder that is not empty.
    """
    with ExitStack() as last, ExitStack() as first:  # the inner block ends first
        opened = []
        for group in batch:
            for file in group:
                opened.append((last if file is group[-1] else first).enter_context(replacing(file.path, flush=False)))
                opened[-1].write(file.content)
                opened[-1].flush()
        # With several threads, the file system can flush all files at the same time.
        list(threads.map(lambda temporary: os.fsync(temporary.fileno()), opened))
    for folder in {file.path.parent for group in batch for file in group}:
        _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    """Flushes the entries of a folder to the disk, if the system supports this."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
