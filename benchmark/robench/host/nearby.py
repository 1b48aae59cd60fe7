"""Finds modules in the current folder that the user may want to use as plugins.

If no plugin offers a component that a user names, such a module may define it. The hints of ``registry.py`` and
``discovery.py`` then name the module.
"""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

EXTRA = "ROBENCH_PLUGINS"
MOST_FILES, MOST_BYTES = 200, 200_000  # the largest number of files, and of characters per file, that are searched


def find_module(name: str) -> str:
    """Returns the path of a module in the current folder, or an empty string.

    If the name has dots, only the first part counts.
    """
    first = name.partition(".")[0]
    places = (Path(f"{first}.py"), Path(first) / "__init__.py")
    return next((str(place) for place in places if place.is_file()), "")


def suggest_plugin(hook: str, name: str) -> str:
    """Returns a hint about a file that may offer a component, or an empty string.

    Only files in the current folder are searched, and no file is imported. The suggested list of modules leaves out
    modules that do not exist.

    Args:
        hook: the hook that registers components of this kind.
        name: the name of the component.
    """
    listed = [part.strip() for part in os.environ.get(EXTRA, "").split(",") if part.strip()]
    offers = re.compile(rf"def {hook}\b.*[\"']{re.escape(name)}[\"']", re.DOTALL)
    for path in sorted(Path().glob("*.py"))[:MOST_FILES]:
        try:
            with path.open(encoding="utf-8") as file:
                fits = path.stem.isidentifier() and path.stem not in listed and offers.search(file.read(MOST_BYTES))
        except (OSError, UnicodeDecodeError):
            continue
        if fits:
            names = ",".join([*filter(_exists, listed), path.stem])
            return f"{path} in the current folder seems to offer it: set PYTHONPATH=. and {EXTRA}={names}"
    return ""


def _exists(name: str) -> bool:
    """Returns whether the first part of a module's name can be found."""
    first = name.partition(".")[0]
    try:
        return bool(find_module(name) or find_spec(first))
    except (ValueError, ImportError):  # an empty name, or a module without a specification
        return False
