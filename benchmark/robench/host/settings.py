"""Describes the settings of a component: values, defaults and meanings.

``robench plugins NAME`` prints these descriptions, and docs/reference/plugins.md is made from them. Names and values in
a description are marked as code by backticks, as in Markdown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from robench.api.component import BaseConfig

JsonSchema = Mapping[str, Any]  # by name: the keywords of one schema, or schemas


class Setting(NamedTuple):
    """The description of a setting.

    Args:
        values: the type and the range, such as ``whole number ≥ 1``.
        default: the default, or ``required``.
        meaning: the field's description, or an empty string.
    """

    values: str
    default: str
    meaning: str


def list_settings(config: type[BaseConfig]) -> dict[str, Setting]:
    """Returns the description of each setting of a ``Config``, by name.

    A field that only changes an inherited default keeps the inherited meaning. The settings of a nested ``Config``
    are named by paths such as ``knowledge.data``.
    """
    fields = [getattr(base, "model_fields", {}) for base in config.__mro__]
    meanings = {name: of[name].description for of in reversed(fields) for name in of if of[name].description}
    try:
        schema = config.model_json_schema(by_alias=True)
    except PydanticUserError:  # a type of a plugin that JSON cannot represent
        return {
            field.alias or name: Setting(_type_name(field.annotation), _plain_default(field), meanings.get(name, ""))
            for name, field in config.model_fields.items()
        }
    parts = schema.get("$defs", {})
    return {
        name: Setting(values_of(field, parts), default_of(field), meaning_of(field, meanings.get(name, "")))
        for name, field in flat_fields(schema.get("properties", {}), parts)
    }


def _type_name(annotation: Any) -> str:
    return str(getattr(annotation, "__name__", annotation))


def _plain_default(field: FieldInfo) -> str:
    return "required" if field.is_required() else code(field.get_default(call_default_factory=True))


def flat_fields(properties: JsonSchema, parts: JsonSchema) -> Iterator[tuple[str, JsonSchema]]:
    """Yields the name and the schema of each setting.

    Nested settings take the place of their parent. ``parts`` holds the schemas of nested settings, by name.
    """
    for name, field in properties.items():
        nested = parts.get(field.get("$ref", "").rpartition("/")[2], {}).get("properties")
        if nested is None:
            yield name, field
        else:
            yield from ((f"{name}.{inner}", schema) for inner, schema in flat_fields(nested, parts))


def values_of(schema: JsonSchema, parts: JsonSchema) -> str:
    """Describes the values of a setting, given its JSON schema.

    ``parts`` holds the schemas to which references point, by name.
    """
    if "$ref" in schema:
        return values_of(parts[schema["$ref"].rpartition("/")[2]], parts)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(values_of(option, parts) for option in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return ", ".join(code(value) for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return " ".join([{"integer": "whole number", "number": "number"}[kind], *bounds(schema)])
    if kind == "array":
        items = schema.get("items") or next(iter(schema.get("prefixItems", [{}])))
        return f"list of {values_of(items, parts).replace('number', 'numbers')}"
    return {"boolean": "`true`, `false`", "string": "text", "null": "`null`"}.get(str(kind), str(kind or "anything"))


def bounds(schema: JsonSchema) -> Iterator[str]:
    """Yields the bounds of a setting, such as ``≥ 1`` or ``< 1``."""
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    yield from (f"{sign} {schema[name]:g}" for name, sign in signs.items() if name in schema)


def default_of(schema: JsonSchema) -> str:
    """Returns the default of a setting as Markdown.

    For a long list, the result is the number of entries. For a long string, it is ``a text``.
    """
    if "default" not in schema:
        return "required"
    value = schema["default"]
    if isinstance(value, list):
        return code(f"[{', '.join(map(str, value))}]") if len(str(value)) < 50 else f"{len(value)} entries"
    if isinstance(value, str) and len(value) > 50:
        return "a text"
    return code(value) if value != "" else "empty"


def meaning_of(schema: JsonSchema, inherited: str) -> str:
    """Returns the meaning of a setting, and the values that a search may try.

    If the schema has no description, ``inherited`` is the meaning.
    """
    text = schema.get("description") or inherited
    if (search := schema.get("search")) is None:
        return text
    if "choices" in search:
        values = ", ".join(map(code, search["choices"]))
    else:
        values = f"{code(search['low'])} to {code(search['high'])}{', log' if search['log'] else ''}"
    return f"{text}; searched: {values}"


def code(value: Any) -> str:
    """Returns a value in YAML syntax, marked as code."""
    plain = {None: "null", True: "true", False: "false"}
    text = (
        plain[value]
        if value is None or isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
    return f"`{text}`"
