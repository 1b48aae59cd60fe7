"""Provides the work of victims for the tests of clusters.

A fork server imports this module.
"""

import os
import time
from pathlib import Path


def work(task, emit):
    """Emits an event per cell.

    A cell may name a file to read or a file to wait for.
    """
    for cell in task.payload["cells"]:
        event = {"name": cell["name"], "pid": os.getpid(), "device": os.environ.get("CUDA_VISIBLE_DEVICES")}
        if "read" in cell:
            event["content"] = (Path(task.payload["cache"]) / cell["read"]).read_text()
        while not Path(cell.get("wait", "/")).exists():
            time.sleep(0.02)
        emit({"kind": "cell", "task": task.id, **event})
