"""Collects the provenance of a record: versions, code digests and machine."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any


def version_of(distribution: str) -> str:
    """Returns the version of a distribution, or an empty string if there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def provenance(owners: Iterable[str], code: Mapping[str, str], *, device: str, threads: int) -> dict[str, Any]:
    """Returns a record's ``provenance``, without the digests of data and other files.

    The result contains the versions of robench, Python, torch, numpy and the plugins. It also contains the platform,
    the processor, the device, the number of threads, today's date (UTC) and the digests of the code.

    Args:
        owners: ``distribution:entry`` of every plugin that took part.
        code: the digests of the code that took part.
        device: the device on which the victim was fitted.
        threads: the number of torch threads.
    """
    return {
        "robench": version_of("robench"),
        "plugins": {owner: version_of(owner.partition(":")[0]) for owner in sorted({*owners} - {""})},
        "python": platform.python_version(),
        "torch": version_of("torch"),
        "numpy": version_of("numpy"),
        "platform": f"{sys.platform} {platform.machine()}",
        "processor": processor(),
        "device": device,
        "threads": threads,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "code": dict(code),
    }


@cache
def processor() -> str:
    """Returns the model name of the processor, or an empty string if it is unknown.

    Different processors may round sums differently.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def peak_memory() -> float | None:
    """Returns the peak memory of this process in MiB.

    The result is None if the system does not report the peak.
    """
    try:
        import resource  # noqa: PLC0415  # absent on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)
