"""Converts strings such as ``4 GiB`` to numbers of bytes, and numbers to strings."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,15})?) ?([kmgt]?)(i?)b", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Converts a size such as ``4 GiB`` or ``500 MB`` to a number of bytes.

    Raises:
        ValueError: if the string is not a size.
    """
    size = _SIZE.fullmatch(text.strip())
    if size is None:
        raise ValueError("must be a size such as 4 GiB or 500 MB, or a whole number of bytes")
    number, prefix, binary = float(size[1]), size[2], size[3]
    return int(number * (1024 if binary else 1000) ** " kmgt".index(prefix.lower() or " "))


def format_size(size: int) -> str:
    """Formats a number of bytes as a string such as ``1.5 MiB``."""
    number, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number < 1024:
            break
        number, unit = number / 1024, larger
    return f"{number:.1f} {unit}" if unit != "B" else f"{size} B"
