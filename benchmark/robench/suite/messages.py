"""Describes the mistakes that pydantic reports, for ``mistakes.py``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from robench.api.errors import SettingError, likeliest
from robench.api.escapes import shortened
from robench.api.threat import NORMS
from robench.suite.numerals import suggest_number

NAME = r"^[a-z0-9][a-z0-9._-]*$"
MOST_VALUE = 200  # the largest number of characters that a message quotes from a value
MOST_SEEDS = 10  # the largest number of seeds that a hint lists
DEVICE = r"^(auto|cpu|cuda(:(0|[1-9]\d{0,2}))?)$"
_PATTERNS = {
    NAME: "must be small letters, digits, '.', '_' or '-', and begin with a letter or digit",
    NORMS: "must be l2, linf, words, characters, share, users or edits, "
    "such as users-seen-0.2, users-surrogate, edits-at-end, edits-white-box or words-stealth-0.8",
    DEVICE: "must be auto, cpu, cuda or cuda:N, such as cuda:0",
}
SCALARS = ("str", "int", "float", "bool")  # the names that pydantic gives to branches of a union
BRANCH = re.compile(r"\w+\[.*\]|\[key\]")
_KINDS = {
    "int": "must be a whole number",
    "float": "must be a number",
    "decimal": "must be a number",
    "bool": "must be true or false",
    "string": "must be text",
    "path": "must be a path",
    "list": "must be a list",
    "tuple": "must be a list",
    "set": "must be a list",
    "dict": "must be a mapping",
    "mapping": "must be a mapping",
    "model": "must be a mapping",
    "finite": "must be a finite number",
}


def describe_error(detail: ErrorDetails) -> str:
    """Describes a mistake, and quotes the value or names its kind.

    A long value is shortened. ``mistakes.py`` describes unknown and missing keys.
    """
    value, shown = detail["input"], ""
    if not isinstance(value, (dict, list, tuple, BaseModel)):
        shown = f", got {shortened(repr(value), MOST_VALUE)}"
    elif _is_of_another_kind(detail):
        shown = f", got a {'list' if isinstance(value, (list, tuple)) else 'mapping'}"
    return _problem(detail["type"], detail.get("ctx", {}), detail["msg"]) + shown


def suggest_value(detail: ErrorDetails) -> str:
    """Returns a hint about the right value, or an empty string.

    A ``SettingError`` has its own hint. For a single value in place of a list, the hint is a list with this value. For
    a text in place of a number, it is the number. Otherwise, the hint names the closest allowed value.
    """
    error, value = detail.get("ctx", {}).get("error"), detail["input"]
    if isinstance(error, SettingError):
        return error.hint
    if detail["type"] == "list_type" and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return f"write [{shortened(str(value), MOST_VALUE)}]{_several_seeds(detail)}"
    if isinstance(value, str) and detail["type"].partition("_")[0] in ("int", "float"):
        return suggest_number(value)
    if detail["type"] == "string_pattern_mismatch":
        small = str(value).casefold()
        return f"did you mean '{small}'?" if re.match(detail["ctx"]["pattern"], small) else ""
    if detail["type"] not in ("literal_error", "enum"):
        return ""
    close = likeliest(str(value), re.findall(r"'([^']*)'", detail["ctx"]["expected"]))
    return f"did you mean '{close}'?" if close else ""


def _several_seeds(detail: ErrorDetails) -> str:
    """Returns a hint about a number in place of the list of seeds.

    The hint is empty for other keys, and for numbers that are not between 2 and ``MOST_SEEDS``.
    """
    count = detail["input"]
    if detail["loc"] != ("seeds",) or not isinstance(count, int) or not 1 < count <= MOST_SEEDS:
        return ""
    return f", or {list(range(count))} for {count} seeds"


def suggest_grid(detail: ErrorDetails, setting: str) -> str:
    """Returns a hint about a list in a setting that takes a single value.

    The hint is empty if the setting takes anything but a number, a word, or true and false.

    Args:
        detail: the mistake.
        setting: the name of the setting.
    """
    single = detail["type"] in ("int_type", "float_type", "bool_type", "string_type", "literal_error")
    if not single or not detail["input"] or not isinstance(detail["input"], list):
        return ""
    return f"for an entry per value, write grid: {{{setting}: [...]}}"


def _is_of_another_kind(detail: ErrorDetails) -> bool:
    """Returns whether a value is a list or a mapping, but must be something else."""
    return detail["type"].endswith("_type") or detail["type"] == "literal_error"


def location_of(detail: ErrorDetails) -> tuple[str | int, ...]:
    """Returns the path of a mistake, starting at the root of the pydantic model.

    If the mistake is a ``SettingError``, the path consists of the field that the error names.
    """
    error = detail.get("ctx", {}).get("error")
    if isinstance(error, SettingError):
        return (error.field,)
    return tuple(part for part in detail["loc"] if part != "function-after" and not is_branch(part))


def is_branch(part: str | int) -> bool:
    """Returns whether a part of a path names a branch of a union.

    For example: ``dict[str,str]``.
    """
    return isinstance(part, str) and (part in SCALARS or BRANCH.fullmatch(part) is not None)


def is_about_another_branch(detail: ErrorDetails) -> bool:
    """Returns whether a mistake belongs to a branch of a union that was not meant.

    For a union of a string and a mapping, pydantic reports the mistakes of both branches. The type of the value shows
    which branch the author of the suite meant.
    """
    last = detail["loc"][-1] if detail["loc"] else ""
    if isinstance(detail["input"], dict):
        return last in SCALARS
    return is_branch(last) and last not in SCALARS and detail["type"] == "dict_type"


def _problem(kind: str, context: Mapping[str, Any], message: str) -> str:
    if kind == "too_short":
        return f"needs at least {_entries(context['min_length'])}, has {context['actual_length']}"
    if kind == "too_long":
        return f"takes at most {_entries(context['max_length'])}, has {context['actual_length']}"
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(context["pattern"], f"must match the pattern {context['pattern']}")
    if kind == "string_too_short":
        return "must not be empty"
    first, _, rest = kind.partition("_")
    if first in _KINDS and rest in (
        "type",
        "parsing",
        "parsing_size",
        "from_float",
        "unicode",
        "number",
        "attributes_type",
    ):
        return _KINDS[first]
    text = re.sub(r"^(Input|Value) should be", "must be", message.removeprefix("Value error, "))
    return f"{text[:1].lower()}{text[1:]}"


def _entries(count: int) -> str:
    return f"{count} entr{'y' if count == 1 else 'ies'}"
