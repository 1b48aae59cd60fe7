"""Seals JSON objects: a field holds the sha256 of all other fields.

Files of results are sealed when they are written, and checked when they are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from robench.api.errors import UserError
from robench.files.reading import parse_json

SEAL = "sha256"  # the key of the sha256
_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False).encode


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an object with a field that holds the sha256 of all other fields."""
    rest = {name: value for name, value in content.items() if name != SEAL}
    return {**rest, SEAL: sha256_of(rest)}


def sha256_of(content: object) -> str:
    """Returns the sha256 of JSON data, in hex digits.

    Raises:
        ValueError: if a number is not finite, or a string contains a lone surrogate.
    """
    return hashlib.sha256(_encode(content).encode()).hexdigest()


def parse_sealed(content: bytes, noun: str, version: int | Sequence[int], where: str) -> dict[str, Any]:
    """Returns the object in a JSON file, after checking its format and its seal.

    Args:
        content: the bytes of the file.
        noun: the kind of the file with an article, such as ``a plan``, for error messages.
        version: the allowed ``format_version``, or several allowed ones.
        where: the name of the file in error messages.

    Raises:
        UserError: if the content is not a sealed object of this format, or was changed after it was sealed.
    """
    intact = _parse_intact(content)
    value = parse_json(content, where) if intact is None else intact
    versions = (version,) if isinstance(version, int) else tuple(version)
    if not isinstance(value, dict) or value.get("format_version") not in versions:
        raise UserError(f"not {noun} of format {' or '.join(map(str, versions))}", where=where)
    if SEAL not in value:
        raise UserError(f"{noun} without a seal", where=where, hint="robench run SUITE writes it anew")
    if intact is None:
        _check_seal(value, noun, where)
    return value


def _parse_intact(content: bytes) -> dict[str, Any] | None:
    """Returns the object in a sealed JSON file, or None if the file has any fault.

    This function takes half the time of ``parse_json`` and ``_check_seal``, which describe the fault.
    """
    try:
        value = from_json(content, allow_inf_nan=False)
        text = _encode({name: part for name, part in value.items() if name != SEAL}).encode()
        intact = hashlib.sha256(text).hexdigest() == value[SEAL]
    except Exception:  # The parser reports damage with many exceptions, and less precisely.
        return None
    # If a key occurs twice, the parser drops the first value. The content then has more colons than text and seal.
    unique = content.count(b":") == text.count(b":") + 1 and b"\\u003" not in content
    return value if intact and unique else None


def _check_seal(content: Mapping[str, Any], noun: str, where: str) -> None:
    """Checks the seal of an object that was read from a file.

    Args:
        content: the object.
        noun: the kind of the file with an article, such as ``a plan``, for error messages.
        where: the name of the file in error messages.

    Raises:
        UserError: if the object was changed after it was sealed, or if JSON cannot hold its content.
    """
    try:
        sealed = seal(content)[SEAL]
    except RecursionError:
        raise UserError(f"not {noun}: nested too deeply", where=where) from None
    except UnicodeEncodeError:
        raise UserError(f"not {noun}: a text holds half a character (a lone surrogate)", where=where) from None
    except ValueError:
        raise UserError(f"not {noun}: a number is not finite", where=where) from None
    if sealed != content.get(SEAL):
        raise UserError(f"{noun} that was changed after it was written: its sha256 differs", where=where)
