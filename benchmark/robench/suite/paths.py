"""Paths in a suite count from the suite's own folder; ids keep them as written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from robench.api.component import BaseConfig


def path_fields(config: type[BaseConfig]) -> list[str]:
    """The fields annotated ``Path``, or ``Path | None``."""
    fields = config.model_fields.items()
    return [name for name, info in fields if info.annotation is Path or Path in get_args(info.annotation)]


def anchored(settings: Mapping[str, Any], config: type[BaseConfig], folder: Path) -> Mapping[str, Any]:
    """``settings`` with every relative path (fields annotated ``Path``) taken from ``folder``."""
    found = dict(settings)
    for name in path_fields(config):
        if found.get(name) is not None:
            found[name] = str(folder / Path(str(found[name])).expanduser())
    return found
