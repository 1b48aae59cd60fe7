"""Converts dataclasses to JSON objects, and JSON objects back to dataclasses.

For example, plan.json, leaderboard.json and the CSV files are made with this module.

A field is written under its own name, without a trailing underscore (``lambda_`` → ``lambda``). The metadata of a field
can change how the field is written, for example ``field(metadata=inline())``. Several kinds of metadata are joined with
``|``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from robench.api.metric import Measure

T = TypeVar("T")
PLAIN = frozenset({str, int, float, bool, type(None)})  # values of these types are not converted
IF_SET: Mapping[str, Any] = {"if_set": True}  # marks a field that is left out if it has its default
JSON_ONLY: Mapping[str, Any] = {"json_only": True}  # marks a field without a column in the CSV file


def named(name: str) -> Mapping[str, Any]:
    """Returns the metadata for a field that is written under the given name."""
    return {"name": name}


def inline(*names: str) -> Mapping[str, Any]:
    """Returns the metadata for a nested dataclass that is written field by field.

    The fields of this nested dataclass are written as if they belonged to the outer dataclass. If the value is None,
    these fields are written as null.

    Args:
        names: the nested fields to write. Without names, all nested fields are written.
    """
    return {"inline": names}


def encode(value: Any) -> Any:
    """Converts a value to JSON types.

    Dataclasses and mappings become objects, tuples become lists, and measures become strings.
    """
    if type(value) in PLAIN:
        return value
    if isinstance(value, Measure):
        return str(value)
    if is_dataclass(value):
        return dict(_written(value))
    if isinstance(value, Mapping):
        return {str(key): encode(part) for key, part in value.items()}
    return [encode(part) for part in value] if isinstance(value, list | tuple) else value


def _written(value: Any) -> Iterator[tuple[str, Any]]:
    for attribute, name, inlined, if_set, default in _layout(type(value)):  # type: ignore[arg-type]  # a class is hashable
        part = getattr(value, attribute)
        if inlined is not None and part is None:
            yield from ((inner, None) for inner in inlined or columns(_nested(type(value), attribute)))
        elif inlined is not None:
            flat = dict(_written(part))
            yield from ((inner, flat[inner]) for inner in inlined or flat)
        elif not if_set or part != default:
            yield name, encode(part)


@cache
def _layout(cls: Any) -> list[tuple[str, str, tuple[str, ...] | None, bool, Any]]:
    """Returns how each field of a dataclass is written, as one tuple per field.

    Each tuple holds the attribute, the written name, the names given to ``inline`` or None, whether the field has
    ``IF_SET``, and the default.
    """
    return [
        (field.name, _name(field), field.metadata.get("inline"), "if_set" in field.metadata, _default(field))
        for field in fields(cls)
    ]


def columns(cls: Any) -> list[str]:
    """Returns the column names of a CSV file with one instance of ``cls`` per row.

    The columns are in the order of the fields.
    """
    return [name for _, _, names in column_groups(cls) for name in names]


def column_groups(cls: Any) -> list[tuple[str, bool, list[str]]]:
    """Returns the CSV columns that come from each field of a dataclass.

    Each tuple holds the attribute, whether the field is inline, and the names of the columns. A field with
    ``JSON_ONLY`` has no tuple.
    """
    groups: list[tuple[str, bool, list[str]]] = []
    for field in fields(cls):
        if "inline" in field.metadata:
            groups.append((field.name, True, list(field.metadata["inline"] or columns(_nested(cls, field.name)))))
        elif "json_only" not in field.metadata:
            groups.append((field.name, False, [_name(field)]))
    return groups


def _nested(cls: Any, attribute: str) -> Any:
    """Returns the nested dataclass of a field, even if the field may be None."""
    hint = _hints(cls)[attribute]
    return next((part for part in get_args(hint) if part is not type(None)), hint)


def decode(cls: type[T], plain: Mapping[str, Any]) -> T:
    """Builds an instance of a dataclass from a parsed JSON object.

    Unknown names are ignored. Missing fields get their defaults.

    Raises:
        ValueError: if a field without a default is missing, or if a value does not fit its field.
    """
    values, hints = {}, _hints(cls)  # type: ignore[arg-type]  # a class is hashable
    for attribute, name, inlined, _, default in _layout(cls):  # type: ignore[arg-type]  # as above
        if inlined is not None:
            nested = _nested(cls, attribute)
            missing = nested is not hints[attribute] and not any(plain.get(one) is not None for one in columns(nested))
            values[attribute] = None if missing else decode(nested, plain)
        elif name in plain:
            values[attribute] = _decoded(hints[attribute], plain[name], name)
        elif default is MISSING:
            raise ValueError(f"'{name}' is missing")
    return cls(**values)


def _decoded(hint: Any, value: Any, name: str) -> Any:
    if type(value) is hint and hint in PLAIN:
        return value
    kind, arguments = _structure(hint)
    if kind in (Union, UnionType):
        rest = [argument for argument in arguments if argument is not type(None)]
        return None if value is None else _decoded(rest[0], value, name)
    decoded = value
    if hint is Measure:
        decoded = Measure.parse(_checked(str, value, name))
    elif is_dataclass(hint):
        decoded = decode(hint, _checked(dict, value, name))  # type: ignore[arg-type]  # a class, not an instance
    elif isinstance(hint, type) and issubclass(hint, tuple):  # a NamedTuple
        decoded = hint(*_checked(list, value, name))
    elif kind is tuple:
        decoded = tuple(_decoded(arguments[0], part, name) for part in _checked(list, value, name))
    elif kind is Literal and value not in arguments:
        raise ValueError(f"'{name}' is none of {', '.join(map(repr, arguments))}: {value!r}")
    elif isinstance(kind, type) and issubclass(kind, Mapping):
        decoded = {key: _decoded(arguments[1], part, name) for key, part in _checked(dict, value, name).items()}
    elif isinstance(hint, type):
        decoded = _checked((int, float) if hint is float else hint, value, name)
    return decoded


@cache
def _structure(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Returns the origin and the arguments of a type hint."""
    return get_origin(hint), get_args(hint)


def _checked(cls: Any, value: Any, name: str) -> Any:
    if not isinstance(value, cls):
        raise ValueError(f"'{name}' is not {cls.__name__ if isinstance(cls, type) else 'a number'}: {value!r}")
    return value


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _name(field: Field[Any]) -> str:
    name: str = field.metadata.get("name", field.name.removesuffix("_"))
    return name


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)
