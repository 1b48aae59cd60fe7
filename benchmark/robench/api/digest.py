"""Canonical JSON of plain data, and digests of this JSON for use as ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def digest(content: object, length: int = 16) -> str:
    """Returns the first ``length`` hex digits of the SHA-256 digest of plain data.

    The digest is computed from canonical JSON in UTF-8.
    """
    return digest_text(canonical(content), length)


def digest_text(text: str, length: int = 16) -> str:
    """Returns the first ``length`` hex digits of the SHA-256 digest of a text.

    The digest is computed from the text in UTF-8.
    """
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def digest_spec(spec: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the id of a cell and the id of its victim, given the cell's spec.

    The function encodes the victim only once, because the victim makes up most of the spec.
    """
    victim = canonical(spec["victim"])
    rest = {name: part for name, part in spec.items() if name != "victim"}
    return digest_with_victim(victim, rest), digest_text(victim)


def digest_with_victim(victim: str, rest: Mapping[str, Any]) -> str:
    """Returns the digest of a cell's spec.

    Args:
        victim: the victim in canonical JSON.
        rest: the other fields of the spec.
    """
    before = canonical({name: part for name, part in rest.items() if name < "victim"})[1:-1]
    after = canonical({name: part for name, part in rest.items() if name > "victim"})[1:-1]
    return digest_text("{" + ",".join(filter(None, (before, f'"victim":{victim}', after))) + "}")
