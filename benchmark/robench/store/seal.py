"""Seals JSON objects with a sha256 of their other content.

Files of results are sealed when they are written, and checked when they are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from robench.api.errors import UserError
from robench.files.reading import parse_json

SEAL = "sha256"  # the key of the sha256
_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False).encode


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content with a sha256 of everything else in it."""
    rest = {name: value for name, value in content.items() if name != SEAL}
    return {**rest, SEAL: sha256_of(rest)}


def sha256_of(content: object) -> str:
    """Returns the sha256 of JSON data, in hex digits.

    Raises:
        ValueError: if a number is not finite, or a string contains a lone surrogate.
    """
    return hashlib.sha256(_encode(content).encode()).hexdigest()


def parse_sealed(content: bytes, noun: str, version: int, where: str) -> dict[str, Any]:
    """Returns the object of a JSON text, after checking its format and its seal.

    Args:
        content: the bytes of the file.
        noun: the kind of file, for the error message.
        version: the ``format_version`` that the object must have.
        where: the name of the file in error messages.

    Raises:
        UserError: if the text is not an object of this format, or was changed after it was sealed.
    """
    intact = _parse_intact(content)
    value = parse_json(content, where) if intact is None else intact
    if not isinstance(value, dict) or value.get("format_version") != version:
        raise UserError(f"not {noun} of format {version}", where=where)
    if SEAL not in value:
        raise UserError(f"{noun} without a seal", where=where, hint="robench run SUITE writes it anew")
    if intact is None:
        _check_seal(value, noun, where)
    return value


def _parse_intact(content: bytes) -> dict[str, Any] | None:
    """Returns the object of a sealed JSON text, or None if anything is wrong with it.

    This function takes half the time of ``parse_json`` and ``_check_seal``, which say what is wrong.
    """
    try:
        value = from_json(content, allow_inf_nan=False)
        text = _encode({name: part for name, part in value.items() if name != SEAL}).encode()
        intact = hashlib.sha256(text).hexdigest() == value[SEAL]
    except Exception:  # The parser reports damage with many exceptions, and less precisely.
        return None
    # The parser keeps the last of two values of one key. Each value has a colon, so the text has one colon more.
    unique = content.count(b":") == text.count(b":") + 1 and b"\\u003" not in content
    return value if intact and unique else None


def _check_seal(content: Mapping[str, Any], noun: str, where: str) -> None:
    """Checks the seal of an object that was read from a file.

    Args:
        content: the object.
        noun: the kind of file, for the error message.
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
