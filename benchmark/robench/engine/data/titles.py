"""Titles as a defence lets a model read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from robench.api.data import Catalogue
from robench.api.defense import Defense
from robench.api.errors import PluginError

Clean = Callable[[str], str]


def reader_of(defense: Defense) -> Clean | None:
    """The defence's ``clean_text``, whose answers are looked at; None where it has none.

    Raises:
        PluginError: from what is returned, where an answer is no string.
    """
    if not type(defense).overrides("clean_text"):
        return None

    def read(title: str) -> str:
        found: object = defense.clean_text(title)
        if not isinstance(found, str):
            name, kind = type(defense).__name__, type(found).__name__
            raise PluginError(f"{name}.clean_text() gave {kind} for the title {title!r}, not a string")
        return found

    return read


def as_read(catalogue: Catalogue, read: Clean | None) -> Catalogue:
    """The catalogue with every title as it is read."""
    if read is None:
        return catalogue
    return replace(catalogue, items=tuple(replace(item, title=read(item.title)) for item in catalogue.items))
