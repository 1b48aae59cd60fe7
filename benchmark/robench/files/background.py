"""Writes files in batches in a separate thread.

The caller need not wait for the disk.
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

MOST_WAITING = 64  # the most groups of files in memory; if the limit is reached, the next group waits
AT_ONCE = 8  # the number of files that are flushed at once


class File(NamedTuple):
    """A path, with the content to write to this path."""

    path: Path
    content: bytes


Group = tuple[File, ...]  # the last file appears only when the other files are on the disk


class BackgroundWriter:
    """A thread that writes groups of files atomically, in the order of arrival.

    The groups that arrive while the disk is busy form the next batch. All files of a batch are first written, then
    flushed to the disk together, and finally renamed. After a power cut, the last file of a group is therefore complete
    or missing. If the last file exists, the other files of the group are complete too.
    """

    def __init__(self) -> None:
        self._queue: Queue[Group | None] = Queue(MOST_WAITING)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._work, name="robench-writer", daemon=True)
        self._thread.start()

    def put(self, files: Sequence[File]) -> None:
        """Hands a group of files to the thread.

        Raises:
            OSError: if an earlier group could not be written. After such an error, nothing more is written.
            UserError: as above.
        """
        self._check()
        self._queue.put(tuple(files))

    def close(self) -> None:
        """Waits until every file is on the disk, and ends the thread.

        Raises:
            OSError: if a group could not be written.
            UserError: as above.
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
        """Waits for a group, and returns the next batch.

        The batch consists of this group and all groups that have arrived since. The result is None when the writer is
        closed.
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
        except BaseException:  # A single group may have caused the error, so the other groups are written.
            for group in batch:
                try:
                    write_batch([group], threads)
                except BaseException as error:  # the next call of put raises it
                    self._error = error
                    return


def write_group(files: Sequence[File]) -> None:
    """Writes one group of files atomically.

    Raises:
        OSError: as in ``write_batch``.
        UserError: as in ``write_batch``.
    """
    with ThreadPoolExecutor(AT_ONCE) as threads:
        write_batch([tuple(files)], threads)


def write_batch(batch: Sequence[Group], threads: ThreadPoolExecutor) -> None:
    """Writes groups of files atomically.

    The last file of each group appears after the others.

    Args:
        batch: the groups.
        threads: the threads that flush files. Starting threads for each batch would take most of its CPU time.

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
        # A file system flushes all waiting files at once.
        list(threads.map(lambda temporary: os.fsync(temporary.fileno()), opened))
    for folder in {file.path.parent for group in batch for file in group}:
        _flush_folder(folder)


def _flush_folder(folder: Path) -> None:
    """Flushes the names of files to the disk, if the system can do so."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
