"""Finds the type of the device that a suite names.

Torch is imported only if the machine may have a GPU.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

DRIVERS = ("libcuda.so.1", "libcuda.so")  # the files that torch needs on Linux for an NVIDIA GPU
AMD = Path("/dev/kfd")  # the file that torch needs on Linux for an AMD GPU


def device_type(name: str) -> str:
    """Returns the type of the device for neural victims: ``cpu`` or ``cuda``.

    Args:
        name: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """
    if name != "auto":
        return name.partition(":")[0]
    if not may_have_gpu():
        return "cpu"
    from robench.run.device import pick_device  # noqa: PLC0415  # imports torch

    return pick_device(name).type


def may_have_gpu() -> bool:
    """Returns whether this machine may have a GPU that torch can use.

    On Linux, the function looks for a driver. On macOS, it returns False. On other systems, it returns True.
    """
    if sys.platform != "linux":
        return sys.platform != "darwin"
    for name in DRIVERS:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return AMD.exists()
