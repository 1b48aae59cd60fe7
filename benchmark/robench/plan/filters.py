"""TODO-DOC."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from robench.api.errors import UserError, did_you_mean
from robench.host.registry import OWN
from robench.spec import Cell
from robench.suite.load import Suite
from robench.suite.yaml import scalar

MOST_NAMES = 40  # that a hint lists


# A key of ``exclude`` or ``--only`` matches any of these columns.
_SINGLE = [
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
]


NAMED = ("model", "defense", "attack")  # the columns that hold the identity of a component
MATCHES: dict[str, tuple[str, ...]] = {
    **{name: (name, f"{name}_label") for name in NAMED},
    **{name: (name,) for name in _SINGLE},
}


def identified(conditions: Mapping[str, Any], cells: Collection[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the conditions with identities in place of other names that a person may write for a component.

    ``toy`` stands for ``their-package/toy`` and ``robench/mf`` for ``mf``, unless a cell has just that name or label.

    Args:
        conditions: key -> a value or a list of values.
        cells: columns of the cells among which names are looked up.
    """
    return {key: _identities(key, value, cells) if key in NAMED else value for key, value in conditions.items()}


def _identities(key: str, wanted: Any, cells: Collection[Mapping[str, Any]]) -> list[Any]:
    known = list({columns[name] for columns in cells for name in MATCHES[key]})
    identities = sorted({columns[key] for columns in cells})
    resolved: list[Any] = []
    for value in wanted if isinstance(wanted, list) else [wanted]:
        meant = [name for name in identities if value in (name.rpartition("/")[2], f"{OWN}/{name}")]
        resolved += [value] if value in known else meant or [value]
    return resolved


def matcher(conditions: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a cell's columns match every key; a list means any of its values."""

    def matches(columns: Mapping[str, Any]) -> bool:
        for key, wanted in conditions.items():
            values = wanted if isinstance(wanted, list) else [wanted]
            if not any(columns[name] == value for name in MATCHES[key] for value in values):
                return False
        return True

    return matches


def without_excluded(suite: Suite, cells: list[Cell], errors: list[UserError]) -> list[Cell]:
    """Returns the cells that no entry of ``exclude`` matches.

    Args:
        errors: entries that match nothing are added here.
    """
    columns = [cell.columns() for cell in cells]
    for index, conditions in enumerate(suite.exclude):
        path: tuple[str | int, ...] = ("exclude", index)
        place = suite.tree.place(path)
        unknown = [key for key in conditions if key not in MATCHES]
        if unknown or not conditions:
            for key in unknown:
                hint = did_you_mean(key, MATCHES)
                errors.append(UserError(f"unknown key '{key}'", where=place, path=f"exclude[{index}]", hint=hint))
            if not conditions:
                errors.append(
                    UserError("an empty entry would exclude everything", where=place, path=f"exclude[{index}]")
                )
            continue
        matches = matcher(identified(conditions, columns))
        kept = [cell for cell in cells if not matches(cell.columns())]
        if len(kept) == len(cells):
            text = ", ".join(f"{key}: {value}" for key, value in conditions.items())
            hint = "it may be covered by an entry above, or a name may be misspelt"
            errors.append(UserError(f"no cell matches {{{text}}}", where=place, path=f"exclude[{index}]", hint=hint))
        cells = kept
    return cells


def chosen(cells: Sequence[Cell], conditions: Sequence[str]) -> list[Cell]:
    """The cells that ``--only`` means, and the clean cells that tables need beside them; all without a condition.

    Args:
        conditions: ``["model=mf", "seed=0"]``. A cell matches all keys; several values of one key mean any of them.

    Raises:
        UserError: not ``key=value``, an unknown key, a value that no cell has, or nothing is left.
    """
    if not conditions:
        return list(cells)
    columns = {cell.id: cell.columns() for cell in cells}
    wanted: dict[str, Any] = {}
    for condition in conditions:
        key, equals, value = condition.partition("=")
        path = f"--only {condition}"
        if not equals:
            raise UserError("a filter is written key=value", path=path)
        if key not in MATCHES:
            raise UserError(f"unknown key '{key}'", path=path, hint=did_you_mean(key, MATCHES))
        typed = [scalar(value), value]  # as text too: an id or a label may look like a number
        values = identified({key: typed}, columns.values())[key]
        if not any(map(matcher({key: values}), columns.values())):
            known = {_text(c[name]) for c in columns.values() for name in MATCHES[key]} - {""}
            hint = did_you_mean(value, known) if len(known) < MOST_NAMES else ""
            raise UserError(f"no cell has {key} '{value}'", path=path, hint=hint)
        wanted.setdefault(key, []).extend(values)
    matches = matcher(wanted)
    found = {cell.id for cell in cells if matches(columns[cell.id])}
    if not found:
        raise UserError("no cell matches all of them", path=" ".join(f"--only {c}" for c in conditions))
    twins = {_twin(cell) for cell in cells if cell.id in found}
    clean = {c.id for c in cells if c.attack is None and c.victim.poison is None and _twin(c) in twins}
    return [cell for cell in cells if cell.id in found | clean]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)


def _twin(cell: Cell) -> str:
    """The unpoisoned victim of a cell."""
    return replace(cell.victim, poison=None).id
