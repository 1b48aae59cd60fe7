"""Describes the texts of a suite that are encoded once, for ``robench plan``.

Each description says whether the encodings are already in the cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from robench.api.data import Catalogue
from robench.api.defense import Defense
from robench.api.errors import DataError, PluginError, counted
from robench.api.models.base import Model
from robench.engine.data.titles import read_catalogue, title_reader
from robench.host.registry import Registry
from robench.run.data import data_name
from robench.spec import Cell


@dataclass
class _Users:
    """The models and victims that use the same file of encodings."""

    models: set[str] = field(default_factory=set)
    victims: set[str] = field(default_factory=set)


def encoding_notes(cells: Iterable[Cell], catalogues: Mapping[str, Catalogue], registry: Registry) -> list[str]:
    """Returns a line for each file of encodings that the cells use.

    A file that serves several data sets or splits has a line for each of them. The path of the file depends on the
    encoder and the catalogue. A defence that cleans titles changes the catalogue. If weights cannot be read or a
    defence returns no title, this function ignores the error, because the run reports it.

    Args:
        cells: the cells that are not skipped.
        catalogues: the items, by data set and split.
        registry: the plugins.
    """
    paths: dict[tuple[str, str, str], Path | None] = {}
    users: dict[tuple[Path, str], _Users] = {}
    for cell in cells:
        victim, name = cell.victim, data_name(cell.victim)
        key = (victim.model.label, victim.defense.label, name)
        if name not in catalogues:
            continue
        if key not in paths:
            model, defense = registry.make("model", victim.model), registry.make("defense", victim.defense)
            paths[key] = _path(model, catalogues[name], defense)
        if (path := paths[key]) is not None:
            of_file = users.setdefault((path, name), _Users())
            of_file.models.add(victim.model.label)
            of_file.victims.add(victim.id)
    return [_line(path, len(catalogues[name].items), name, of_file) for (path, name), of_file in users.items()]


def _path(model: Model, catalogue: Catalogue, defense: Defense) -> Path | None:
    try:
        return model.encodings(read_catalogue(catalogue, title_reader(defense)))
    except (DataError, PluginError):
        return None


def _line(path: Path, texts: int, name: str, users: _Users) -> str:
    state = "in the cache" if path.exists() else "not in the cache yet"
    return (
        f"texts: the {texts} texts of {name.partition('/')[0]} are encoded once for {', '.join(sorted(users.models))}, "
        f"{counted(len(users.victims), 'victim')} ({state})"
    )
