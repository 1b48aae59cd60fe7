"""Provides the work that tasks do in the tests of clusters.

A fork server imports this module.
"""

import os
import time
from pathlib import Path

from robench_plugins.executors.isolation import server

server.PRELOADED = ()  # no task needs torch, whose import takes three seconds


def work(task, emit):
    """Emits one event per cell of a task.

    A cell may name a file that the work reads, and a file that the work waits for.
    """
    for cell in task.payload["cells"]:
        event = {"name": cell["name"], "pid": os.getpid(), "device": os.environ.get("CUDA_VISIBLE_DEVICES")}
        if "read" in cell:
            event["content"] = (Path(task.payload["cache"]) / cell["read"]).read_text()
        while not Path(cell.get("wait", "/")).exists():
            time.sleep(0.02)
        emit({"kind": "cell", "task": task.id, **event})
