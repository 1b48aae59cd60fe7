"""Which texts of a suite are encoded once, for how many victims, and whether that is done already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from robench.api.data import Catalogue
from robench.api.defense import Defense
from robench.api.errors import DataError, PluginError
from robench.api.models.base import Model
from robench.engine.data.titles import as_read, reader_of
from robench.host.registry import Registry
from robench.run.data import data_role
from robench.spec import Cell


@dataclass
class _Shared:
    """A file in the cache, and who uses it."""

    models: set[str] = field(default_factory=set)
    victims: set[str] = field(default_factory=set)


def encoding_notes(cells: Iterable[Cell], catalogues: Mapping[str, Catalogue], registry: Registry) -> list[str]:
    """A line per encoder and catalogue (a defence may clean its titles, which makes another one).

    Args:
        cells: those that are not skipped.
        catalogues: by data set and split.

    Weights that cannot be read, and defences that clean no title, are left to the run's own message.
    """
    paths: dict[tuple[str, str, str], Path | None] = {}
    shared: dict[tuple[Path, str], _Shared] = {}
    for cell in cells:
        victim, role = cell.victim, data_role(cell.victim)
        key = (victim.model.label, victim.defense.label, role)
        if role not in catalogues:
            continue
        if key not in paths:
            model: Model = registry.class_of("model", victim.model.name).make(**victim.model.config)
            defense: Defense = registry.class_of("defense", victim.defense.name).make(**victim.defense.config)
            paths[key] = _path(model, catalogues[role], defense)
        if (path := paths[key]) is not None:
            use = shared.setdefault((path, role), _Shared())
            use.models.add(victim.model.label)
            use.victims.add(victim.id)
    return [_line(path, len(catalogues[role].items), role, use) for (path, role), use in shared.items()]


def _path(model: Model, catalogue: Catalogue, defense: Defense) -> Path | None:
    try:
        return model.encodings(as_read(catalogue, reader_of(defense)))
    except (DataError, PluginError):
        return None


def _line(path: Path, texts: int, role: str, use: _Shared) -> str:
    state = "in the cache" if path.exists() else "not in the cache yet"
    victims = "victim" if len(use.victims) == 1 else "victims"
    return (
        f"texts: the {texts} texts of {role.partition('/')[0]} are encoded once for {', '.join(sorted(use.models))}, "
        f"{len(use.victims)} {victims} ({state})"
    )
