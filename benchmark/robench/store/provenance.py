"""Where a number comes from: versions, code, machine."""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from robench.api.errors import counted


@cache
def code_digest(package: str) -> str:
    """Digest of every Python file of a top-level package (or single module); empty where it has no files."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return ""
    origin = Path(spec.origin)
    root = origin.parent if spec.submodule_search_locations else None
    found = hashlib.sha256()
    for path in sorted(root.rglob("*.py")) if root else [origin]:
        found.update(str(path.relative_to(root) if root else path.name).encode())
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def version_of(distribution: str) -> str:
    """Installed version, or empty."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def code_of(components: Iterable[type]) -> dict[str, str]:
    """Digests of robench and of the packages that define ``components``: package -> digest."""
    packages = {"robench", *(component.__module__.partition(".")[0] for component in components)}
    return {package: code_digest(package) for package in sorted(packages)}


def stale_note(count: int) -> str:
    """What ``run`` and ``plan`` say about stale cells."""
    return f"stale: {counted(count, 'stored cell')}: code or weights have changed since; --fresh measures again"


def provenance(owners: Iterable[str], code: Mapping[str, str], *, device: str, threads: int) -> dict[str, Any]:
    """Versions of robench, plugins, python, torch and numpy; device, threads, processor; code digests.

    Args:
        owners: ``distribution:entry`` of every plugin that took part.
        code: digests of the code that took part.
    """
    return {
        "robench": version_of("robench"),
        "plugins": {owner: version_of(owner.partition(":")[0]) for owner in sorted({*owners} - {""})},
        "python": platform.python_version(),
        "torch": version_of("torch"),
        "numpy": version_of("numpy"),
        "platform": f"{sys.platform} {platform.machine()}",
        "device": device,
        "threads": threads,
        "code": dict(code),
    }


def peak_memory() -> float | None:
    """Returns the largest resident size of this process so far, in MiB; None on a system that does not tell."""
    try:
        import resource  # noqa: PLC0415  # absent on Windows
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)
