"""Names the settings in which two rows of the same name differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robench.comparison.sides import Side
from robench.spec import RowKey

MOST = 4  # the most settings that a note names


def describe_settings(a: Side, b: Side, keys: tuple[RowKey, RowKey]) -> list[str]:
    """Returns at most one note, about different settings of the model or the defence.

    There is no note if the rows have different names, because such rows may differ in everything.

    Args:
        a: the first side.
        b: the second side.
        keys: the rows of A and B.
    """
    if keys[0] != keys[1]:
        return []
    first, second = _settings(a, keys[0]), _settings(b, keys[1])
    names = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    listed = [f"{name} {first.get(name, '–')} in A, {second.get(name, '–')} in B" for name in names[:MOST]]
    more = ["..."] if len(names) > MOST else []
    return [f"different settings: {'; '.join([*listed, *more])}"] if names else []


def _settings(side: Side, key: RowKey) -> Mapping[str, Any]:
    """Returns the settings of a row's model and defence, by name."""
    for record in side.records(key):
        victim = record["spec"]["victim"]
        parts = ("model", "defense")
        return {f"{part}.{name}": value for part in parts for name, value in victim[part]["config"].items()}
    return {}
