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


def is_stale(origin: Mapping[str, Any], outside: Mapping[str, str]) -> bool:
    """Whether code or weights have changed since a record was made.

    Args:
        origin: the record's ``provenance``.
        outside: digests of what its model and attack read now; compared where the record has one too.
    """
    noted = {**outside, **origin.get("outside", {})}
    changed = any(value != noted[kind] for kind, value in outside.items())
    return changed or any(code_digest(package) != digest for package, digest in origin["code"].items())


def stale_note(count: int) -> str:
    """What ``run`` and ``plan`` say about stale cells."""
    return f"stale: {counted(count, 'stored cell')}: code or weights have changed since; --fresh measures again"


def provenance(owners: Iterable[str], components: Iterable[type], *, device: str, threads: int) -> dict[str, Any]:
    """Versions of robench, plugins, python, torch and numpy; device, threads, processor; code digests.

    Args:
        owners: ``distribution:entry`` of every plugin that took part.
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
        "code": code_of(components),
    }
