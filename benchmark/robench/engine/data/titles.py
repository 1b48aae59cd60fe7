"""Provides the titles that a model reads, after a defence has cleaned them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from robench.api.data import Catalogue
from robench.api.defense import Defense
from robench.api.errors import PluginError

TitleReader = Callable[[str], str]


def title_reader(defense: Defense) -> TitleReader | None:
    """Returns a function that changes titles as the defence's ``clean_text`` does.

    The result is None if the defence does not change titles. The returned function raises a ``PluginError`` if
    ``clean_text`` does not return a string.
    """
    if not type(defense).overrides("clean_text"):
        return None

    def read(title: str) -> str:
        text: object = defense.clean_text(title)
        if not isinstance(text, str):
            name, kind = type(defense).__name__, type(text).__name__
            raise PluginError(f"{name}.clean_text() gave {kind} for the title {title!r}, not a string")
        return text

    return read


def read_catalogue(catalogue: Catalogue, read: TitleReader | None) -> Catalogue:
    """Returns the catalogue with the titles that a model reads under a defence."""
    if read is None:
        return catalogue
    return replace(catalogue, items=tuple(replace(item, title=read(item.title)) for item in catalogue.items))
