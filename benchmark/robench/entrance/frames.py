"""Lets suites use the pandas frames of a Python program as data sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from robench.api.errors import UserError, did_you_mean
from robench.host.registry import Registry
from robench.spec import Part

FRAME = "frame"  # robench's own data set that reads frames


def with_frames(registry: Registry, frames: Mapping[str, Any]) -> Registry:
    """Returns a registry in which frames are available as data sets, by name.

    The entry ``{name: mine}`` of a suite then means ``{name: frame, data: mine, label: mine}``.

    Args:
        registry: the plugins.
        frames: the data sets by name. A data set is a frame of interactions, or a pair of such a frame and a frame of
            items.

    Raises:
        UserError: if ``frames`` is not a mapping, if a name is not a string or is blank, or if a plugin already offers
            a data set of this name.
    """
    if not isinstance(frames, Mapping):
        raise UserError("a mapping from names to frames is needed", path="datasets", hint="datasets={'mine': frame}")
    taken = {entry.name for entry in registry.entries["dataset"]}
    for name in frames:
        if not isinstance(name, str) or not name.strip():
            raise UserError(f"a name is text, not {name!r}", path="datasets")
        if name in taken:
            raise UserError(f"'{name}' is a data set of a plugin", path="datasets", hint="choose another name")
    cls = registry.class_of("dataset", FRAME).holding(frames)
    return registry.with_class("dataset", FRAME, cls, {n: {"name": FRAME, "data": n, "label": n} for n in frames})


def check_used(frames: Iterable[str], datasets: Iterable[Part]) -> None:
    """Checks that the suite uses every frame.

    Args:
        frames: the names of the frames.
        datasets: the data sets of the suite.

    Raises:
        UserError: if there is a frame that no data set of the suite reads.
    """
    named = {str(part.config["data"]) for part in datasets if part.name == FRAME}
    for name in frames:
        if name not in named:
            hint = f"write {{name: {name}}} below datasets" if not named else did_you_mean(name, named)
            raise UserError(f"the suite names no data set '{name}'", path="datasets", hint=hint)
