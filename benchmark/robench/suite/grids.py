"""Reads the grid of an entry: the settings that vary, and an attack's budgets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from robench.api.escapes import shortened
from robench.host.registry import Kind
from robench.spec import OWN_STRENGTHS
from robench.suite.messages import MOST_VALUE
from robench.suite.mistakes import Mistakes
from robench.suite.numerals import suggest_number, suggest_pairs
from robench.suite.yaml import KeyPath

# the settings that may be lists outside ``grid``, by kind of component
OWN_COLUMNS: Mapping[Kind, Sequence[str]] = {"defense": OWN_STRENGTHS}


@dataclass(frozen=True)
class Grid:
    """The settings of one entry, some of which have several values.

    Args:
        settings: the settings that all combinations share.
        axes: the distinct values of each varying setting.
        homes: the path of each varying setting in the suite.
        epsilons: the budgets of an attack. The host enforces them, and the component has no setting for them.
    """

    settings: Mapping[str, Any]
    axes: Mapping[str, Sequence[Any]]
    homes: Mapping[str, KeyPath]
    epsilons: tuple[float, ...]

    @property
    def size(self) -> int:
        """The number of combinations."""
        return math.prod(len(values) for values in self.axes.values())

    def combinations(self) -> Iterator[Mapping[str, Any]]:
        """Yields the settings of every combination."""
        for values in product(*self.axes.values()):
            yield {**self.settings, **dict(zip(self.axes, values, strict=True))}


def read_grid(
    kind: Kind, entry: Mapping[str, Any], path: KeyPath, mistakes: Mistakes, *, perturbs: bool = True
) -> Grid:
    """Returns the grid of an entry.

    A mistake is added for each setting with invalid or repeated values.

    Args:
        kind: the kind of the component.
        entry: the entry in the suite file.
        path: the path of the entry.
        mistakes: the list to which mistakes are added.
        perturbs: whether an attack perturbs anything. One that does not has the ε 0, which the entry may leave out.
    """
    settings = {name: value for name, value in entry.items() if name not in ("name", "label", "grid", "limits")}
    axes = entry.get("grid", {})
    if not isinstance(axes, dict):
        mistakes.add("grid must map parameters to lists", (*path, "grid"))
        axes = {}
    epsilons: tuple[float, ...] = ()
    if kind == "attack":
        inside = "epsilon" in axes and "epsilon" not in settings
        budget = axes["epsilon"] if inside else settings.pop("epsilon", None)
        if not perturbs and budget is None:
            budget = 0.0
        elif not perturbs and budget not in (0, [0.0]):
            mistakes.add("the attack perturbs nothing, so it has no ε", (*path, "epsilon"), "leave epsilon out")
        epsilons = _read_budgets(budget, (*path, "grid", "epsilon") if inside else (*path, "epsilon"), mistakes)
        axes = {name: values for name, values in axes.items() if name != "epsilon" or not inside}
    homes = {name: (*path, "grid", name) for name in axes}
    lists = _valid_axes(axes, settings, homes, mistakes)
    for name in OWN_COLUMNS.get(kind, ()):
        if isinstance(settings.get(name), list):
            lists[name], homes[name] = settings.pop(name), (*path, name)
    distinct = {name: _distinct(values, homes[name], mistakes) for name, values in lists.items()}
    return Grid(settings, distinct, {name: homes[name] for name in distinct}, epsilons)


def _read_budgets(raw: Any, path: KeyPath, mistakes: Mistakes) -> tuple[float, ...]:
    """Returns the budgets of an attack, given as one number or a list of numbers.

    The function adds a mistake for a missing, invalid or repeated number.
    """
    if raw is None:
        mistakes.add("an attack needs its budget", path[:2], "add epsilon: a number or a list of numbers", absent=path)
        return ()
    values = raw if isinstance(raw, list) else [raw]
    if not values:
        mistakes.add("the grid is empty", path)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            hint = suggest_number(value) if isinstance(value, str) else ""
            mistakes.add(f"ε must be a number, got {value!r}", path, hint)
            return ()
        if value < 0:
            mistakes.add(f"ε must be at least 0, got {value:g}", path)
    _refuse_repeats(values, path, mistakes)
    return tuple(float(value) + 0.0 for value in values)  # turns −0 into 0, because −0 would give another id


def _valid_axes(
    axes: Mapping[str, Any], settings: Mapping[str, Any], homes: Mapping[str, KeyPath], mistakes: Mistakes
) -> dict[str, list[Any]]:
    valid: dict[str, list[Any]] = {}
    for name, values in axes.items():
        if not isinstance(values, list) or not values:
            mistakes.add("the grid is empty" if values == [] else "must be a list", homes[name])
        elif name in settings:
            mistakes.add(f"'{name}' is given twice, in the grid and outside it", homes[name])
        else:
            valid[name] = values
    return valid


def _distinct(values: list[Any], home: KeyPath, mistakes: Mistakes) -> list[Any]:
    if not values:
        mistakes.add("the grid is empty", home)
    _refuse_repeats(values, home, mistakes)
    return [value for place, value in enumerate(values) if value not in values[:place]]


def _refuse_repeats(values: Sequence[Any], path: KeyPath, mistakes: Mistakes) -> None:
    repeated = next((value for place, value in enumerate(values) if value in values[:place]), None)
    if repeated is not None or values.count(None) > 1:
        shown = shortened(str(repeated), MOST_VALUE)
        mistakes.add(f"the grid names {shown} twice", path, suggest_pairs(values) or "leave one out")
