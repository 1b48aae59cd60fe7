"""From entries of a suite to parts: grids spelled out, settings validated by the plugin, labels told apart."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from robench.api.attacks.base import Attack
from robench.api.attacks.ensemble import Ensemble
from robench.api.component import BaseConfig, Component
from robench.api.errors import UserError
from robench.host.registry import Kind, Registry
from robench.spec import NO_DEFENSE, Part, digest
from robench.suite.mistakes import Mistakes
from robench.suite.yaml import Path

MOST_COMBINATIONS = 1_000  # of one entry: more are a slip, and would take the memory before the user sees it
OWN_COLUMNS: Mapping[Kind, Sequence[str]] = {"defense": ("lambda", "epsilon")}  # tables tell these apart anyway


@dataclass(frozen=True)
class Expanded:
    """One combination of an entry's grids.

    ``epsilons``: the attack's axis, empty for other kinds. ``implied``: the ``none`` that stands for λ = 1.
    """

    part: Part
    path: Path
    epsilons: tuple[float, ...] = ()
    implied: bool = False


def expand(kind: Kind, entries: list[Any], key: str, registry: Registry, mistakes: Mistakes) -> list[Expanded]:
    """All parts of one list of the suite (``key`` is its name there)."""
    found: list[Expanded] = []
    for index, raw in enumerate(entries):
        found += _entry(kind, raw, (key, index), registry, mistakes)
    return _labelled(kind, _without_twins(found, mistakes), mistakes)


def _entry(kind: Kind, raw: Any, path: Path, registry: Registry, mistakes: Mistakes) -> list[Expanded]:
    entry = {"name": raw} if isinstance(raw, str) else raw
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        mistakes.add("an entry must name its plugin", path, f"write {{name: ...}} for a {kind}")
        return []
    try:
        offer = registry.find(kind, entry["name"])
        cls: type[Component] = registry.load_entry(kind, offer)
    except UserError as error:
        mistakes.add(error.problem, (*path, "name"), error.hint)
        return []
    name = registry.identity(kind, offer)
    short = offer.name if offer.own else registry.reference(kind, offer)
    label = entry.get("label", short)
    if not isinstance(label, str) or not label.strip():
        mistakes.add("a label must be text, and not blank", (*path, "label"))
        label = short
    elif not label.isprintable():
        mistakes.add("a label must be printable, without line ends or control characters", (*path, "label"))
        label = short
    settings = {name: value for name, value in entry.items() if name not in ("name", "label", "grid")}
    grid = entry.get("grid", {})
    if not isinstance(grid, dict):
        mistakes.add("grid must map parameters to lists", (*path, "grid"))
        grid = {}
    epsilons: tuple[float, ...] = ()
    if kind == "attack":  # ε is the host's: the plugin's settings do not have it
        inside = "epsilon" in grid and "epsilon" not in settings
        budget = grid["epsilon"] if inside else settings.pop("epsilon", None)
        epsilons = _epsilons(budget, (*path, "grid", "epsilon") if inside else (*path, "epsilon"), mistakes)
        grid = {name: values for name, values in grid.items() if name != "epsilon" or not inside}
    axes, homes = _axes(kind, grid, settings, path, mistakes)
    if math.prod(len(values) for values in axes.values()) > MOST_COMBINATIONS:
        mistakes.add(f"the grids make more than {MOST_COMBINATIONS} combinations", path)
        return []
    parts = []
    for combination in itertools.product(*axes.values()):
        passed = {**settings, **dict(zip(axes, combination, strict=True))}
        config = _config(kind, short, cls, passed, path, homes, mistakes)
        if config is None:
            continue
        if issubclass(cls, Attack) and not _check_threat(cls, config, epsilons, path, mistakes):
            continue
        part = Part(name, config.resolved(), label, passed, offer.owner)
        implied = kind == "defense" and part.config.get("lambda") == 1
        if implied:
            part = replace(NO_DEFENSE, owner=registry.resolve("defense", NO_DEFENSE.name).owner)
            mistakes.notes.append(f"λ=1 of {label} is planned as none")
        parts.append(Expanded(part, path, epsilons, implied))
    return parts


def _config(
    kind: Kind,
    called: str,
    cls: type[Component],
    passed: dict[str, Any],
    path: Path,
    homes: Mapping[str, Path],
    mistakes: Mistakes,
) -> BaseConfig | None:
    """Returns the settings, or None and mistakes.

    Args:
        called: the component's name for messages.
        homes: where a setting is written, if not right below ``path``.
    """
    known = [*(info.alias or name for name, info in cls.Config.model_fields.items()), "label", "grid"]
    try:
        config: BaseConfig = cls.Config.model_validate(passed)
    except ValidationError as error:
        known += ["epsilon"] if kind == "attack" else []
        strange = _strange(cls, called, known, passed) if issubclass(cls, Attack) else {}
        mistakes.add_validation(error, path, known, homes, strange)
        return None
    resolved = config.resolved()
    # Pydantic takes true for 1, a person does not.
    wrong = [
        name for name, value in passed.items() if isinstance(value, bool) and type(resolved.get(name)) in (int, float)
    ]
    for name in wrong:
        mistakes.add(f"must be a number, got {str(passed[name]).lower()}", homes.get(name, (*path, name)))
    return None if wrong else config


def _check_threat(
    cls: type[Attack], config: BaseConfig, epsilons: Sequence[float], path: Path, mistakes: Mistakes
) -> bool:
    """Returns whether an attack has a threat model; budgets that it does not allow are mistakes."""
    try:
        threat = cls(config).threat()
        threat.as_dict()
    except (ValueError, TypeError) as error:
        mistakes.add(str(error) or type(error).__name__, path)
        return False
    for problem in dict.fromkeys(filter(None, map(threat.problem, epsilons))):
        mistakes.add(problem, (*path, "epsilon"))
    return True


def _strange(
    cls: type[Attack], name: str, known: Sequence[str], passed: Mapping[str, Any]
) -> dict[str, tuple[str, str]]:
    """Settings that other attacks have and this one has not, and why: (problem, hint) of each."""
    found = {}
    for key in passed:
        if key in known:
            continue
        if key == "surface":
            found[key] = f"{name} attacks the surface {cls.surface} alone", "leave surface out"
        elif key in ("norm", "scale") and cls.surface == "history" and "unit" in known:
            found[key] = (
                f"{name} edits histories, which have no {key}",
                "leave it out; ε counts edits, or with unit: fraction a share of the history",
            )
        elif issubclass(cls, Ensemble) and not get_close_matches(key, known, n=1):
            hint = f"leave {key} out, or name an attack that takes it; known: {', '.join(sorted(known))}"
            found[key] = f"{name} is a fixed list of attacks, and '{key}' of them is not to be chosen", hint
    return found


def _epsilons(raw: Any, path: Path, mistakes: Mistakes) -> tuple[float, ...]:
    """The attack's budgets: a number or a list of distinct numbers ≥ 0."""
    if raw is None:
        mistakes.add("an attack needs its budget", path[:2], "add epsilon: a number or a list of numbers", absent=path)
        return ()
    values = raw if isinstance(raw, list) else [raw]
    if not values:
        mistakes.add("the grid is empty", path)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            mistakes.add(f"ε must be a number, got {value!r}", path)
            return ()
        if value < 0:
            mistakes.add(f"ε must be at least 0, got {value:g}", path)
    if len(set(values)) < len(values):
        mistakes.add("the grid names a value twice", path)
    return tuple(float(value) + 0.0 for value in values)  # −0 would be another id


def _axes(
    kind: Kind, grid: Mapping[str, Any], settings: dict[str, Any], path: Path, mistakes: Mistakes
) -> tuple[dict[str, list[Any]], dict[str, Path]]:
    """Grid axes, and where each is written; a defence's λ and ε may stand outside ``grid``.

    What becomes an axis leaves ``settings``.
    """
    axes: dict[str, list[Any]] = {}
    homes: dict[str, Path] = {}
    for name, values in grid.items():
        home = (*path, "grid", name)
        if not isinstance(values, list) or not values:
            mistakes.add("the grid is empty" if values == [] else "must be a list", home)
        elif name in settings:
            mistakes.add(f"'{name}' is given twice, beside the grid and in it", home)
        else:
            axes[name], homes[name] = values, home
    for name in OWN_COLUMNS.get(kind, ()):
        if isinstance(settings.get(name), list):
            axes[name], homes[name] = settings.pop(name), (*path, name)
            if not axes[name]:
                mistakes.add("the grid is empty", homes[name])
    for name, values in axes.items():
        axes[name] = [value for place, value in enumerate(values) if value not in values[:place]]
        if len(axes[name]) < len(values):
            mistakes.add("the grid names a value twice", homes[name])
    return axes, homes


def _without_twins(found: list[Expanded], mistakes: Mistakes) -> list[Expanded]:
    """Two equal entries are a mistake; a ``none`` that stands for λ = 1 is not needed beside another."""
    spoken = any(one.part.content() == NO_DEFENSE.content() and not one.implied for one in found)
    kept: list[Expanded] = []
    known: dict[str, list[Expanded]] = defaultdict(list)
    for one in found:
        twins = known[digest(one.part.content())]
        if one.implied and (spoken or twins):
            continue
        twin = next((t for t in twins if not one.epsilons or set(one.epsilons) & set(t.epsilons)), None)
        if twin is None:
            kept.append(one)
            twins.append(one)
        elif twin.path == one.path:
            mistakes.add("two combinations of its grids are the same", one.path)
        else:
            mistakes.add(f"the same as {twin.path[0]}[{twin.path[1]}]", one.path, "remove one of them")
    return kept


def _labelled(kind: Kind, found: list[Expanded], mistakes: Mistakes) -> list[Expanded]:
    """Labels that are unique per content: ``mf[factors=32]``. λ and ε of a defence are columns of their own."""
    groups: dict[str, list[Expanded]] = defaultdict(list)
    for one in found:
        groups[one.part.label].append(one)
    own = OWN_COLUMNS.get(kind, ())
    result = []
    meant: dict[str, str] = {}
    for one in found:
        group = groups[one.part.label]
        differing = [name for name in one.part.config if name not in own and _differs(name, group)]
        names = {other.part.name for other in group}
        marks = [
            *([one.part.name] if len(names) > 1 else []),
            *(f"{name}={_shown(one.part.config[name])}" for name in differing),
        ]
        label = f"{one.part.label}[{','.join(marks)}]" if marks else one.part.label
        content = digest([one.part.name, {name: v for name, v in one.part.config.items() if name not in own}])
        if meant.setdefault(label, content) != content:
            mistakes.add(f"two entries would be called '{label}'", one.path, "give it a label of its own")
        result.append(replace(one, part=replace(one.part, label=label)))
    return result


def _differs(name: str, group: list[Expanded]) -> bool:
    return len({repr(other.part.config.get(name)) for other in group}) > 1


def _shown(value: Any) -> str:
    short = f"{value:g}" if isinstance(value, float) else str(value)
    return repr(value) if isinstance(value, float) and float(short) != value else short
