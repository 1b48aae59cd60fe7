"""The fork server on Linux, which forks a keeper per task.

The server has imported the libraries in advance. It runs no foreign plugin, has no GPU context and starts no threads.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import signal
import socket
import sys
import traceback
import warnings
from contextlib import suppress

from robench.api import Work
from robench_plugins.executors.isolation import tree
from robench_plugins.executors.isolation.frames import to_frame
from robench_plugins.executors.isolation.keeper import keep

# Almost every victim imports these. The first step of an optimiser imports the last, which takes a second.
PRELOADED = ("torch", "numpy", "scipy.sparse", "pandas", "torch._dynamo")
INTERVAL = 0.5  # the seconds between two searches for orphans
REQUEST = b"!"  # sent with three descriptors: the task, the socket of events, the lifeline


def serve(control: socket.socket, work: Work) -> None:
    """Forks a keeper per request, until the other side closes the socket.

    Args:
        control: the socket for requests.
        work: the function that measures a task.
    """
    os.environ.pop("PYTHONSAFEPATH", None)
    ignore_interrupts()
    for name in PRELOADED:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # the workers then share the pages of the imported modules
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system then forgets keepers that have ended
    control.setblocking(True)
    tree.adopt_orphans()
    keepers: set[int] = set()
    while True:
        if not select.select([control], [], [], INTERVAL)[0]:
            keepers = end_orphans(keepers)
            continue
        try:
            data, descriptors, _, _ = socket.recv_fds(control, len(REQUEST), 3)
        except OSError:
            return
        if not data:
            return
        keepers.add(_fork(control, work, descriptors))


def ignore_interrupts() -> None:
    """Ignores SIGINT, which only the executor handles.

    A new process starts with SIGINT blocked, so the function also unblocks the signal. A signal that arrived while it
    was blocked is discarded.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def end_orphans(keepers: set[int]) -> set[int]:
    """Kills the orphans of this process, which are children that are not keepers.

    If a worker kills its keeper, this process inherits the processes that the worker has started.

    Returns:
        The process ids of the keepers that are still alive.
    """
    children = set(tree.children(os.getpid()))
    for orphan in children - keepers:
        tree.end([*tree.descendants(orphan), orphan])
    return children & keepers


def _fork(control: socket.socket, work: Work, descriptors: list[int]) -> int:
    """Forks a keeper and returns its process id.

    If the fork fails, the result is −1, and the error is reported over the lifeline.
    """
    try:
        with warnings.catch_warnings():
            # The only threads here belong to libraries such as OpenBLAS, which prepare themselves for a fork.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
    except OSError as error:
        with suppress(OSError):
            text = f"the worker could not be started: {error.strerror}"
            os.write(descriptors[2], to_frame({"kind": "ended", "error": text, "again": True}))
        child = -1
    if child == 0:
        try:
            control.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            keep(work, *descriptors)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(0)
    for descriptor in descriptors:
        os.close(descriptor)
    return child
