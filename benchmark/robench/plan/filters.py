"""Selects cells by conditions on their columns.

The key ``exclude`` of a suite and the option ``--only`` of the command line are implemented here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from robench.api.errors import UserError, did_you_mean
from robench.host.registry import OWN
from robench.spec import Cell
from robench.suite.load import Suite
from robench.suite.yaml import parse_scalar

MOST_NAMES = 40  # a hint lists the known names only if there are fewer names than this
NAMED = ("model", "defense", "attack")  # the columns that hold the identity of a component
# Each of these keys of conditions matches the column with the same name.
_OTHERS = (
    "dataset",
    "split",
    "model_label",
    "defense_label",
    "attack_label",
    "lambda",
    "train_epsilon",
    "epsilon",
    "seed",
    "surface",
    "norm",
    "stage",
    "goal",
    "target_set",
    "cell",
    "victim",
)
# The columns that each key of a condition matches. A component can match by identity or by label.
COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {name: (name, f"{name}_label") for name in NAMED} | {name: (name,) for name in _OTHERS}
)
Conditions = Mapping[str, Any]  # a value or a list of values for each key
Columns = Mapping[str, Any]  # the columns of one cell


def without_excluded(suite: Suite, cells: list[Cell], errors: list[UserError]) -> list[Cell]:
    """Returns the cells that no entry of ``exclude`` matches.

    Args:
        suite: the suite.
        cells: all cells of the suite.
        errors: a list that receives the errors in ``exclude``. An entry must not be empty, must have known keys, and
            must match at least one cell that earlier entries left.
    """
    columns = {cell.id: cell.columns() for cell in cells} if suite.exclude else {}
    for index, conditions in enumerate(suite.exclude):
        place, path = suite.tree.place(("exclude", index)), f"exclude[{index}]"
        unknown = [key for key in conditions if key not in COLUMNS]
        for key in unknown:
            hint = did_you_mean(key, COLUMNS)
            errors.append(UserError(f"unknown key '{key}'", where=place, path=path, hint=hint))
        if not conditions:
            errors.append(UserError("an empty entry would exclude everything", where=place, path=path))
        if unknown or not conditions:
            continue
        matches = make_matcher(resolve_names(conditions, columns.values()))
        remaining = [cell for cell in cells if not matches(columns[cell.id])]
        if len(remaining) == len(cells):
            text = ", ".join(f"{key}: {value}" for key, value in conditions.items())
            hint = "it may be covered by an entry above, or a name may be misspelt"
            errors.append(UserError(f"no cell matches {{{text}}}", where=place, path=path, hint=hint))
        cells = remaining
    return cells


def select_cells(cells: Sequence[Cell], only: Sequence[str]) -> list[Cell]:
    """Returns the cells that ``--only`` selects, with the clean cells of the victims.

    The tables need the clean cells. For a poisoned victim, the clean cell is that of the victim without poisoning.

    Args:
        cells: the cells of the plan.
        only: conditions such as ``["model=mf", "seed=0"]``. A cell must match every key. Several values of the same key
            are alternatives. Without conditions, all cells are selected.

    Raises:
        UserError: if an option is not ``key=value``, if a key is unknown, if no cell has the value of an option, or if
            no cell matches all options.
    """
    if not only:
        return list(cells)
    columns = {cell.id: cell.columns() for cell in cells}
    conditions: dict[str, list[Any]] = {}
    for option in only:
        key, values = _read_option(option, columns.values())
        conditions.setdefault(key, []).extend(values)
    matches = make_matcher(conditions)
    picked = {cell.id for cell in cells if matches(columns[cell.id])}
    if not picked:
        raise UserError("no cell matches all of them", path=" ".join(f"--only {option}" for option in only))
    twins = {_clean_twin(cell) for cell in cells if cell.id in picked}
    clean = {c.id for c in cells if c.attack is None and c.victim.poison is None and _clean_twin(c) in twins}
    return [cell for cell in cells if cell.id in picked | clean]


def _read_option(option: str, cells: Collection[Columns]) -> tuple[str, list[Any]]:
    """Parses an option ``--only`` and returns the key and the accepted values.

    Raises:
        UserError: if the option is not ``key=value``, if the key is unknown, or if no cell has the value.
    """
    key, equals, text = option.partition("=")
    path = f"--only {option}"
    if not equals:
        raise UserError("a filter is written key=value", path=path)
    if key not in COLUMNS:
        raise UserError(f"unknown key '{key}'", path=path, hint=did_you_mean(key, COLUMNS))
    # The string itself is also a value, because an id or a label may look like a number.
    values: list[Any] = resolve_names({key: [parse_scalar(text), text]}, cells)[key]
    if not any(map(make_matcher({key: values}), cells)):
        known = {_format(columns[name]) for columns in cells for name in COLUMNS[key]} - {""}
        hint = did_you_mean(text, known) if len(known) < MOST_NAMES else ""
        raise UserError(f"no cell has {key} '{text}'", path=path, hint=hint)
    return key, values


def resolve_names(conditions: Conditions, cells: Collection[Columns]) -> Conditions:
    """Replaces component names in conditions with the components' identities.

    For example, ``toy`` becomes ``their-package/toy``, and ``robench/mf`` becomes ``mf``. A name stays unchanged if it
    is the identity or the label of a component in some cell, or if it matches no component.

    Args:
        conditions: a value or a list of values for each key.
        cells: the columns of all cells, which contain the known identities and labels.
    """
    return {key: _identities(key, value, cells) if key in NAMED else value for key, value in conditions.items()}


def _identities(key: str, value: Any, cells: Collection[Columns]) -> list[Any]:
    known = list({columns[name] for columns in cells for name in COLUMNS[key]})
    identities = sorted({columns[key] for columns in cells})
    resolved: list[Any] = []
    for written in value if isinstance(value, list) else [value]:
        same = [name for name in identities if written in (name.rpartition("/")[2], f"{OWN}/{name}")]
        resolved += [written] if written in known else same or [written]
    return resolved


def make_matcher(conditions: Conditions) -> Callable[[Columns], bool]:
    """Returns a function that checks the columns of a cell against all conditions.

    A cell meets a condition if it has one of the condition's values. For a component, the value may be the identity or
    the label.
    """

    def matches(columns: Columns) -> bool:
        for key, value in conditions.items():
            values = value if isinstance(value, list) else [value]
            if not any(columns[name] == one for name in COLUMNS[key] for one in values):
                return False
        return True

    return matches


def _format(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)


def _clean_twin(cell: Cell) -> str:
    """Returns the id that a cell's victim would have without poisoning."""
    return replace(cell.victim, poison=None).id
