"""Finds the type of the device that a suite names, without torch if the machine has no GPU."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

DRIVERS = ("libcuda.so.1", "libcuda.so")  # what torch needs on Linux for a GPU of NVIDIA
AMD = Path("/dev/kfd")  # and for one of AMD


def device_type(name: str) -> str:
    """Returns ``cpu`` or ``cuda``, the type of the device on which a neural victim would be fitted here.

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
    """Returns False if this machine has no driver of a GPU that torch can use."""
    if sys.platform != "linux":
        return sys.platform != "darwin"
    for name in DRIVERS:
        try:
            ctypes.CDLL(name)
        except OSError:
            continue
        return True
    return AMD.exists()
