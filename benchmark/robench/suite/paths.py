"""Resolves relative paths, which refer to the folder of the suite.

Ids do not depend on this folder, so a suite can be moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from robench.api.component import BaseConfig


def find_path_fields(config: type[BaseConfig]) -> list[str]:
    """Returns the names of the fields with the type ``Path`` or ``Path | None``."""
    fields = config.model_fields.items()
    return [name for name, info in fields if info.annotation is Path or Path in get_args(info.annotation)]


def anchor_path(path: object, folder: Path) -> Path:
    """Returns a path, joined to the suite's folder if the path is relative.

    A leading ``~`` stands for the home folder.
    """
    return folder / Path(str(path)).expanduser()


def anchor_paths(settings: Mapping[str, Any], config: type[BaseConfig], folder: Path) -> Mapping[str, Any]:
    """Returns the settings with every relative path joined to a folder.

    Args:
        settings: the settings of a component.
        config: the component's ``Config``, which shows which settings are paths.
        folder: the folder of the suite.
    """
    paths = {name: settings[name] for name in find_path_fields(config) if settings.get(name) is not None}
    nested = {
        name: anchor_paths(settings[name], info.annotation, folder)
        for name, info in config.model_fields.items()
        if isinstance(info.annotation, type)
        and issubclass(info.annotation, BaseConfig)
        and isinstance(settings.get(name), Mapping)
    }
    return {**settings, **nested, **{name: str(anchor_path(path, folder)) for name, path in paths.items()}}
