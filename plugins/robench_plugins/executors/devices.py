"""Chooses how many workers run on this machine at a time, and the GPU of each.

This process never makes a CUDA context. The driver reports the number of GPUs, and a short separate process reports
their free memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

WORKER = 8 << 30  # bytes of free GPU memory per worker, for its context, model, scores and gradients
MOST = 8  # the most workers per GPU, because they share its processors
VISIBLE = "CUDA_VISIBLE_DEVICES"
PROBE = "import torch\nfor n in range(torch.cuda.device_count()): print(torch.cuda.mem_get_info(n)[0])"
PATIENCE = 120.0  # the most seconds for the probe

Place = Mapping[str, Any]  # the additions to the payload of a worker's tasks


def places(device: str, workers: int | None, tasks: int) -> list[Place]:
    """Returns the place of every worker: a GPU, or the CPU.

    If the user has not chosen the number of workers, it is determined as follows. On the CPU there is one worker per
    core. A GPU has one worker per 8 GiB of free memory, at least one and at most eight. In total there are no more
    workers than cores, but at least one per GPU. If there are no more tasks than GPUs, every GPU has one worker.

    In any case, the workers are assigned to the GPUs in turn.

    Args:
        device: the device of the suite.
        workers: the number of workers, if the user has chosen it.
        tasks: the number of tasks.
    """
    gpus = visible_gpus(device)
    if not gpus:
        # A suite for the CPU must not make a context on a GPU, even if a plugin or a library asks torch for one.
        hidden: Place = {"environment": {VISIBLE: ""}} if device == "cpu" else {}
        return [hidden] * (workers or cores())
    if workers is not None:
        order = [gpus[number % len(gpus)] for number in range(workers)]
    else:
        free = free_memory() if tasks > len(gpus) else {}
        fitting = {gpu: max(1, min(MOST, free.get(gpu, 0) // WORKER)) for gpu in gpus}
        order = [gpu for turn in range(MOST) for gpu in gpus if turn < fitting[gpu]][: max(len(gpus), cores())]
    return [{"device": "cuda", "environment": {VISIBLE: gpu}} for gpu in order]


def visible_gpus(device: str) -> list[str]:
    """Returns the GPUs that a suite may use, as names for ``CUDA_VISIBLE_DEVICES``.

    Args:
        device: the device of the suite. ``cuda:N`` means one GPU. ``cuda`` and ``auto`` mean all GPUs that torch can
            use.
    """
    if device == "cpu":
        return []
    names = _names()
    _, _, number = device.partition(":")
    return names[int(number) : int(number) + 1] if number else names


def free_memory() -> dict[str, int]:
    """Maps the name of every GPU that torch can use to its free memory in bytes.

    The mapping is empty if the free memory cannot be determined.
    """
    command = [sys.executable, "-P", "-c", PROBE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
        return dict(zip(_names(), map(int, done.stdout.split()), strict=True))
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _names() -> list[str]:
    import torch  # noqa: PLC0415  # listing plugins imports no torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if VISIBLE not in os.environ:
        return [str(number) for number in range(count)]
    return [name.strip() for name in os.environ[VISIBLE].split(",")][:count]
