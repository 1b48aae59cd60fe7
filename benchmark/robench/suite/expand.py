"""Expands the entries of a suite and their grids into parts.

The ``Config`` classes of plugins validate the settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from robench.api.attacks.base import Attack
from robench.api.attacks.ensemble import Ensemble
from robench.api.component import BaseConfig, Component
from robench.api.errors import UserError
from robench.api.surfaces import SURFACES
from robench.host.registry import Entry, Kind, Registry
from robench.spec import NO_DEFENSE, Part
from robench.suite.grids import read_grid
from robench.suite.labels import Expanded, add_labels, drop_twins
from robench.suite.mistakes import Mistakes
from robench.suite.schema import MOST_NAME, LimitsEntry
from robench.suite.yaml import KeyPath

MOST_COMBINATIONS = 1_000  # the most combinations of one entry; a larger grid is a mistake and would fill the memory


def expand(
    kind: Kind, entries: Sequence[Any], key: str, registry: Registry, mistakes: Mistakes, *, resolved: bool = False
) -> list[Expanded]:
    """Returns the parts of all entries in one list of the suite.

    Args:
        kind: the kind of the components.
        entries: the entries in the suite file.
        key: the key of the list in the suite.
        registry: the plugins.
        mistakes: the list to which mistakes in the entries are added.
        resolved: whether the entries have the resolved settings that robench wrote into a folder of results.
    """
    expanded: list[Expanded] = []
    for index, entry in enumerate(entries):
        expanded += _expand_entry(kind, entry, (key, index), registry, mistakes, resolved=resolved)
    return add_labels(kind, drop_twins(expanded, mistakes), mistakes)


def _expand_entry(
    kind: Kind, written: Any, path: KeyPath, registry: Registry, mistakes: Mistakes, *, resolved: bool
) -> list[Expanded]:
    entry = {"name": written} if isinstance(written, str) else written
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        mistakes.add("an entry must name its plugin", path, f"write {{name: ...}} for a {kind}")
        return []
    if kind == "dataset" and entry["name"] in registry.aliases:
        entry = {**registry.aliases[entry["name"]], **{key: part for key, part in entry.items() if key != "name"}}
    try:
        offer = registry.find(kind, entry["name"])
        cls: type[Component] = registry.load_entry(kind, offer)
    except UserError as error:
        mistakes.add(error.problem, (*path, "name"), error.hint)
        return []
    short = offer.name if offer.own else registry.reference(kind, offer)
    label = _read_label(entry, short, path, mistakes)
    limits = _read_limits(entry, path, mistakes)
    perturbs = not issubclass(cls, Attack) or cls.surface not in SURFACES or SURFACES[cls.surface].perturbs
    grid = read_grid(kind, entry, path, mistakes, perturbs=perturbs)
    if grid.size > MOST_COMBINATIONS:
        mistakes.add(f"the grids make more than {MOST_COMBINATIONS} combinations", path)
        return []
    expanded = []
    for passed in grid.combinations():
        config = _validate(kind, short, cls, passed, path, grid.homes, mistakes, resolved=resolved)
        if config is None:
            continue
        if issubclass(cls, Attack) and not _check_threat(cls, offer, config, grid.epsilons, path, mistakes):
            continue
        part = Part(registry.identity(kind, offer), config.resolved(), label, passed, offer.owner, limits)
        implied = kind == "defense" and part.config.get("lambda") == 1
        if implied:
            part = replace(NO_DEFENSE, owner=registry.resolve("defense", NO_DEFENSE.name).owner)
            mistakes.notes.append(f"λ=1 of {label} is planned as none")
        expanded.append(Expanded(part, path, grid.epsilons, implied))
    return expanded


def _read_label(entry: Mapping[str, Any], short: str, path: KeyPath, mistakes: Mistakes) -> str:
    """Returns the label of an entry, or ``short`` if the entry has no valid label.

    If the label is not valid, a mistake is added.
    """
    label = entry.get("label", short)
    if not isinstance(label, str) or not label.strip():
        mistakes.add("a label must be text, and not blank", (*path, "label"))
    elif not label.isprintable():
        mistakes.add("a label must be printable, without line breaks or control characters", (*path, "label"))
    elif len(label.encode()) > MOST_NAME:
        mistakes.add(f"a label must be at most {MOST_NAME} bytes in UTF-8, not {len(label.encode())}", (*path, "label"))
    else:
        return label
    return short


def _read_limits(entry: Mapping[str, Any], path: KeyPath, mistakes: Mistakes) -> Mapping[str, float]:
    """Returns the limits of an entry, or no limits if any limit is not valid.

    A mistake is added for each limit that is not valid.
    """
    try:
        return LimitsEntry.model_validate(entry.get("limits", {})).content()
    except ValidationError as error:
        mistakes.add_validation(error, (*path, "limits"), list(LimitsEntry.model_fields))
        return {}


def _validate(
    kind: Kind,
    short: str,
    cls: type[Component],
    passed: Mapping[str, Any],
    path: KeyPath,
    homes: Mapping[str, KeyPath],
    mistakes: Mistakes,
    *,
    resolved: bool,
) -> BaseConfig | None:
    """Returns the validated settings of a component.

    If a setting is wrong, the function adds mistakes and returns None.

    Args:
        kind: the kind of the component.
        short: the component's name in messages.
        cls: the class of the component.
        passed: the settings in the suite file.
        path: the path of the entry.
        homes: the paths of settings that are not directly below ``path``.
        mistakes: the list to which mistakes are added.
        resolved: whether the settings are resolved.
    """
    try:
        config: BaseConfig = cls.Config.model_validate(passed) if resolved else cls.Config.from_written(passed)
    except ValidationError as error:
        known = [*(info.alias or name for name, info in cls.Config.model_fields.items()), "label", "grid", "limits"]
        known += ["epsilon"] if kind == "attack" else []
        explained = _explain_unknown(cls, short, known, passed) if issubclass(cls, Attack) else {}
        mistakes.add_validation(error, path, known, homes, explained)
        return None
    content = config.resolved()
    # Pydantic would accept true as the number 1.
    booleans = [name for name, value in passed.items() if isinstance(value, bool)]
    wrong = [name for name in booleans if type(content.get(name)) in (int, float)]
    for name in wrong:
        mistakes.add(f"must be a number, got {str(passed[name]).lower()}", homes.get(name, (*path, name)))
    return None if wrong else config


def _check_threat(
    cls: type[Attack],
    offer: Entry,
    config: BaseConfig,
    epsilons: Sequence[float],
    path: KeyPath,
    mistakes: Mistakes,
) -> bool:
    """Returns whether an attack has a valid threat model.

    If not, or if the threat model does not allow a budget, the function adds a mistake.

    Args:
        cls: the class of the attack.
        offer: the attack's entry in the registry, for messages.
        config: the settings of the attack.
        epsilons: the budgets in the suite.
        path: the path of the entry.
        mistakes: the list to which mistakes are added.
    """
    try:
        threat = cls(config).threat()
        threat.as_dict()
    except (ValueError, TypeError) as error:
        mistakes.add(str(error) or type(error).__name__, path)
        return False
    except (Exception, SystemExit) as error:  # the mistake is in the plugin, not in the suite
        problem = f"attack '{offer.name}' of plugin {offer.owner} fails when its threat model is read"
        mistakes.add(f"{problem}: {type(error).__name__}: {error}", path)
        return False
    for problem in dict.fromkeys(filter(None, map(threat.problem, epsilons))):
        mistakes.add(problem, (*path, "epsilon"))
    return True


def _explain_unknown(
    cls: type[Attack], short: str, known: Sequence[str], passed: Mapping[str, Any]
) -> dict[str, tuple[str, str]]:
    """Returns a problem and a hint for some unknown settings of an attack, by name.

    The result covers ``surface``. For an attack on histories, it also covers ``norm`` and ``scale``. For an ensemble,
    it covers every unknown name that does not look like a misspelt setting.
    """
    explained = {}
    for key in passed:
        if key in known:
            continue
        if key == "surface":
            explained[key] = f"{short} attacks the surface {cls.surface} alone", "leave surface out"
        elif key in ("norm", "scale") and cls.surface == "history" and "unit" in known:
            hint = "leave it out; ε counts edits, or with unit: fraction a share of the history"
            explained[key] = f"{short} edits histories, which have no {key}", hint
        elif issubclass(cls, Ensemble) and not get_close_matches(key, known, n=1):
            hint = f"leave {key} out, or name an attack that takes it; known: {', '.join(sorted(known))}"
            explained[key] = f"{short} is a fixed list of attacks, whose '{key}' cannot be set", hint
    return explained
