"""Seals JSON objects with a sha256 of their other content.

Files of results are sealed when they are written, and checked when they are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from robench.api.errors import UserError

SEAL = "sha256"  # the key of the sha256


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the content with a sha256 of everything else in it."""
    rest = {name: value for name, value in content.items() if name != SEAL}
    return {**rest, SEAL: sha256_of(rest)}


def sha256_of(content: object) -> str:
    """Returns the sha256 of JSON data, in hex digits.

    Raises:
        ValueError: if a number is not finite, or a string contains a lone surrogate.
    """
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def check_seal(content: Mapping[str, Any], noun: str, where: str) -> None:
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
