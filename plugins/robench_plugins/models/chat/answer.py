"""Reads a ranking from the text of a language model."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import islice
from typing import Any

MOST_TEXT = 20_000  # the largest number of characters of an answer that is read
MOST_STARTS = 20  # the largest number of places at which a list may begin


@dataclass(frozen=True)
class Ranking:
    """A ranking of n candidates that a language model returned.

    Args:
        order: the indices of the ranked candidates from 0, best first. The tuple is empty if the answer is unreadable.
        invented: the number of entries that name no candidate.
        repeated: the number of entries that name a candidate again.
        missing: the number of candidates that the answer does not name.
    """

    order: tuple[int, ...]
    invented: int = 0
    repeated: int = 0
    missing: int = 0


def read_ranking(text: str, count: int) -> Ranking:
    """Returns the ranking in an answer.

    The answer should be a JSON object with the numbers of the candidates under ``ids``. If other text surrounds the
    object, or if there is only the list, it is also read.

    Args:
        text: the answer.
        count: the number of candidates, which have the numbers from 1 to ``count``.
    """
    entries = _find_entries(text[:MOST_TEXT])
    order: dict[int, None] = {}
    invented = repeated = 0
    for entry in entries:
        number = _number_of(entry)
        if not 1 <= number <= count:
            invented += 1
        elif number - 1 in order:
            repeated += 1
        else:
            order[number - 1] = None
    return Ranking(tuple(order), invented, repeated, count - len(order))


def _find_entries(text: str) -> list[Any]:
    """Returns the entries of the first JSON list of an answer, or no entries."""
    decoder = json.JSONDecoder()
    for start in islice(re.finditer(r"[{\[]", text), MOST_STARTS):
        place = start.start()
        try:
            value, _ = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            value = value.get("ids")
        if isinstance(value, list):
            return value
    return []


def _number_of(entry: object) -> int:
    """Returns the number of a candidate, or 0 if the entry is not a whole number."""
    if isinstance(entry, bool):
        return 0
    if isinstance(entry, int):
        return entry
    if isinstance(entry, str) and entry.isascii() and entry.isdigit() and len(entry) < 10:
        return int(entry)
    return 0
