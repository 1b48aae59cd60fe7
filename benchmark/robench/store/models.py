"""Pydantic models that check the content of files.

All these classes derive from ``Content``. ``model_of`` builds such a class from a dataclass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pydantic
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from robench.api.metric import Measure

MOST_TEXT = 120  # the most characters of a string in a message
Sha256 = Annotated[str, pydantic.Field(pattern="^[0-9a-f]{64}$")]


class Content(BaseModel):
    """A JSON object that is read from a file.

    Values are not converted, so a string is never read as a number. Unknown fields are ignored, because later versions
    of robench may add fields.
    """

    model_config = ConfigDict(strict=True, frozen=True)


def first_problem(error: ValidationError) -> str:
    """Returns a line that describes the first mistake of a validation.

    For example: ``'cells[1].epsilon': Input should be a valid number``.
    """
    mistake = error.errors(include_url=False, include_input=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in mistake["loc"])
    text = ascii(place.removeprefix("."))[:MOST_TEXT]
    more = error.error_count() - 1
    problem = mistake["msg"].removeprefix("Value error, ")[:MOST_TEXT]
    return f"{text}: {problem}" + (f" (and {more} more)" if more else "")


def model_of(cls: Any, more: Mapping[str, Any] | None = None) -> type[BaseModel]:
    """Returns a Pydantic model for the JSON form of a dataclass.

    ``robench.api.codec`` writes this JSON.

    Args:
        cls: the dataclass. The annotations of the fields limit the values.
        more: further fields, in the form that ``pydantic.create_model`` accepts.
    """
    content: dict[str, Any] = {**dict(_fields(cls)), **(more or {})}
    return create_model(cls.__name__, __base__=Content, __doc__=(cls.__doc__ or "").partition("\n")[0], **content)


def _fields(cls: Any) -> Iterator[tuple[str, Any]]:
    hints = get_type_hints(cls, include_extras=True)
    for field in fields(cls):
        if "inline" in field.metadata:
            yield from _fields(hints[field.name])
        else:
            name = field.metadata.get("name", field.name.removesuffix("_"))
            yield name, (_plain(hints[field.name]), _default(field))


def _plain(hint: Any) -> Any:
    """Returns the type of the JSON value that stores a value of type ``hint``."""
    kind, arguments = get_origin(hint), get_args(hint)
    if hint is Measure:
        return str
    if is_dataclass(hint):
        return model_of(hint)
    if kind is tuple:
        return list[_plain(arguments[0])]  # type: ignore[misc]  # a type that is made at run time
    if kind is UnionType and is_dataclass(arguments[0]):  # a dataclass or None
        return model_of(arguments[0]) | None
    if kind is Mapping:
        return dict[str, _plain(arguments[1])]  # type: ignore[misc]  # as above
    return hint


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return pydantic.Field(default_factory=field.default_factory)
    return ... if field.default is MISSING else field.default
