"""From entries of a suite to parts: grids spelled out, settings validated by the plugin, labels told apart."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from robench.api.errors import UserError
from robench.registry import Kind, Registry
from robench.spec import Part
from robench.suite.schema import Mistakes
from robench.suite.yaml import Path

NO_DEFENSE = Part("none", {}, "none")


@dataclass(frozen=True)
class Expanded:
    """One combination of an entry's grids. ``epsilons``: the attack's axis, empty for other kinds."""

    part: Part
    path: Path
    epsilons: tuple[float, ...] = ()


def expand(kind: Kind, entries: list[Any], key: str, registry: Registry, mistakes: Mistakes) -> list[Expanded]:
    """All parts of one list of the suite (``key`` is its name there)."""
    found: list[Expanded] = []
    for index, raw in enumerate(entries):
        found += _entry(kind, raw, (key, index), registry, mistakes)
    return _labelled(kind, _without_twins(found, mistakes))


def _entry(kind: Kind, raw: Any, path: Path, registry: Registry, mistakes: Mistakes) -> list[Expanded]:
    entry = {"name": raw} if isinstance(raw, str) else raw
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        mistakes.add("an entry must name its plugin", path, f"write {{name: ...}} for a {kind}")
        return []
    try:
        found = registry.find(kind, entry["name"])
        cls = registry.load_entry(kind, found)
    except UserError as error:
        mistakes.add(error.problem, (*path, "name"), error.hint)
        return []
    label = entry.get("label", entry["name"])
    if not isinstance(label, str) or not label:
        mistakes.add("a label must be text", (*path, "label"))
        label = entry["name"]
    settings = {name: value for name, value in entry.items() if name not in ("name", "label", "grid")}
    epsilons: tuple[float, ...] = ()
    if kind == "attack":
        epsilons = _epsilons(settings.pop("epsilon", None), path, mistakes)
    axes = _axes(kind, entry.get("grid", {}), settings, path, mistakes)
    parts = []
    fields = [info.alias or name for name, info in cls.Config.model_fields.items()]
    for combination in itertools.product(*axes.values()):
        passed = {**settings, **dict(zip(axes, combination, strict=True))}
        try:
            config = cls.Config.model_validate(passed)
        except ValidationError as error:
            mistakes.add_validation(error, path, [*fields, "label", "grid", *(["epsilon"] if kind == "attack" else [])])
            break
        part = Part(entry["name"], config.resolved(), label, passed, found.owner)
        if kind == "defense" and part.config.get("lambda") == 1:
            part = replace(NO_DEFENSE, owner=registry.find("defense", "none").owner)
        parts.append(Expanded(part, path, epsilons))
    return parts


def _epsilons(raw: Any, path: Path, mistakes: Mistakes) -> tuple[float, ...]:
    """The attack's budgets: a number or a list of distinct numbers ≥ 0."""
    if raw is None:
        mistakes.add("an attack needs its budget", path, "add epsilon: a number or a list of numbers")
        return ()
    values = raw if isinstance(raw, list) else [raw]
    if not values:
        mistakes.add("the grid is empty", (*path, "epsilon"))
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            mistakes.add(f"ε must be a number, got {value!r}", (*path, "epsilon"))
            return ()
        if value < 0:
            mistakes.add(f"ε must be at least 0, got {value:g}", (*path, "epsilon"))
    if len(set(values)) < len(values):
        mistakes.add("the grid names a value twice", (*path, "epsilon"))
    return tuple(float(value) for value in values)


def _axes(kind: Kind, grid: Any, settings: dict[str, Any], path: Path, mistakes: Mistakes) -> dict[str, list[Any]]:
    """Grid axes; a defence's λ and ε may stand outside ``grid``. What becomes an axis leaves ``settings``."""
    axes: dict[str, list[Any]] = {}
    if not isinstance(grid, dict):
        mistakes.add("grid must map parameters to lists", (*path, "grid"))
        grid = {}
    for name, values in grid.items():
        if not isinstance(values, list) or not values:
            mistakes.add("the grid is empty" if values == [] else "must be a list", (*path, "grid", name))
        elif name in settings:
            mistakes.add(f"'{name}' is given twice, beside the grid and in it", (*path, "grid", name))
        else:
            axes[name] = values
    for name in ("lambda", "epsilon") if kind == "defense" else ():
        if isinstance(settings.get(name), list):
            axes[name] = settings.pop(name)
            if not axes[name]:
                mistakes.add("the grid is empty", (*path, name))
    for name, values in axes.items():
        if any(value in values[:place] for place, value in enumerate(values)):
            mistakes.add("the grid names a value twice", (*path, name))
    return axes


def _without_twins(found: list[Expanded], mistakes: Mistakes) -> list[Expanded]:
    """Two equal entries are a mistake; several λ = 1 are one ``none``."""
    kept: list[Expanded] = []
    for one in found:
        twin = next((k for k in kept if k.part.content() == one.part.content()), None)
        if twin is None:
            kept.append(one)
        elif one.part.content() == NO_DEFENSE.content():
            continue
        elif set(one.epsilons) & set(twin.epsilons) or not one.epsilons:
            mistakes.add(f"the same as {twin.path[0]}[{twin.path[1]}]", one.path, "remove one of them")
        else:
            kept.append(one)
    return kept


def _labelled(kind: Kind, found: list[Expanded]) -> list[Expanded]:
    """Labels that are unique per content: ``mf[factors=32]``. λ and ε of a defence are columns of their own."""
    groups: dict[str, list[Expanded]] = defaultdict(list)
    for one in found:
        groups[one.part.label].append(one)
    result = []
    for one in found:
        group = groups[one.part.label]
        own = ("lambda", "epsilon") if kind == "defense" else ()
        differing = [n for n in one.part.config if n not in own and _differs(n, group)]
        names = {other.part.name for other in group}
        marks = [
            *([one.part.name] if len(names) > 1 else []),
            *(f"{n}={_shown(one.part.config, n)}" for n in differing),
        ]
        label = f"{one.part.label}[{','.join(marks)}]" if marks else one.part.label
        result.append(replace(one, part=replace(one.part, label=label)))
    return result


def _differs(name: str, group: list[Expanded]) -> bool:
    return len({repr(other.part.config.get(name)) for other in group}) > 1


def _shown(config: Mapping[str, Any], name: str) -> str:
    value = config[name]
    return f"{value:g}" if isinstance(value, float) else str(value)
