"""The versions that the client and all workers of a cluster must share."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = ("distributed", "numpy", "robench", "scipy", "torch")
PACKAGES = ("robench", "robench_plugins")
CODE = "code of robench"


@cache
def collect_versions() -> dict[str, str]:
    """Returns the versions of Python, libraries and plugins, by name.

    The result also holds a digest of robench's code and the value of ``ROBENCH_PLUGINS``. A build of torch for another
    device, such as ``2.6.0+cpu``, counts as the same version.
    """
    owners = {point.dist.name for point in entry_points(group="robench") if point.dist}
    found = {"python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    found |= {name: _version(name) for name in sorted({*LIBRARIES, *owners})}
    found["ROBENCH_PLUGINS"] = os.environ.get("ROBENCH_PLUGINS", "")
    return found | {CODE: _code()}


def find_difference(ours: Mapping[str, str], theirs: Mapping[str, str]) -> str:
    """Describes the first version that differs, or returns an empty string."""
    for name in dict.fromkeys([*ours, *theirs]):
        mine, other = ours.get(name, "none"), theirs.get(name, "none")
        if mine != other and name == CODE:
            return f"its {CODE} differs from the one here"
        if mine != other:
            return f"it has {name} {other or 'none'}, and this machine {mine or 'none'}"
    return ""


def _version(name: str) -> str:
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return "none"


def _code() -> str:
    whole = hashlib.sha256()
    for package in PACKAGES:
        spec = find_spec(package)
        for root in (spec and spec.submodule_search_locations) or ():
            for path in sorted(Path(root).rglob("*.py")):
                whole.update(f"{package}/{path.relative_to(root).as_posix()}\0".encode())
                whole.update(path.read_bytes())
    return whole.hexdigest()
