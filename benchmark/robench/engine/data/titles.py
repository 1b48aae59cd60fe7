"""Provides the titles that a model reads, after a defence has cleaned them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from robench.api.data import Catalogue
from robench.api.defense import Defense
from robench.api.errors import PluginError

TitleReader = Callable[[str], str]


def title_reader(defense: Defense) -> TitleReader | None:
    """Returns the defence's ``clean_text`` with a check of its answers.

    The result is None if the defence does not change titles.

    Raises:
        PluginError: from the returned function, if an answer is not a string.
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
    """Returns the catalogue with the titles that the model reads."""
    if read is None:
        return catalogue
    return replace(catalogue, items=tuple(replace(item, title=read(item.title)) for item in catalogue.items))
