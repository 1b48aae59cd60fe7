"""Converts ids of users and items to numbers, and finds ids that look alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.dataset import Ids

WHOLE = re.compile("0|[1-9][0-9]{0,17}")  # a whole number that fits into 64 bits, in its usual form
NUMBER = re.compile(r"[+-]?[0-9]+(\.0*)?")
EXAMPLES = 2


def number_ids(ids: NDArray[Any] | Ids) -> tuple[list[str], NDArray[Any]]:
    """Returns the sorted distinct ids, and the index of each row's id.

    If all ids are whole numbers of at most 18 digits, without signs or leading zeros, the ids are sorted by value.
    Otherwise, the ids are sorted as strings. The indices are int32 or int64 [n], and may be the codes of ``ids``
    themselves.
    """
    names, codes = _distinct(ids)
    if all(map(WHOLE.fullmatch, names)):
        order = np.argsort(np.array([int(name) for name in names], dtype=np.int64), kind="stable")
    else:
        order = np.array(sorted(range(len(names)), key=names.__getitem__), dtype=np.int64)
    if (order[1:] > order[:-1]).all():
        return list(names), codes if codes.dtype == np.int32 else codes.astype(np.int64, copy=False)
    place = np.empty(len(names), dtype=codes.dtype if codes.dtype == np.int32 else np.int64)
    place[order] = np.arange(len(names))
    return [names[i] for i in order.tolist()], place[codes]


def _distinct(ids: NDArray[Any] | Ids) -> tuple[Sequence[str], NDArray[np.integer[Any]]]:
    """Returns the distinct ids as strings, and the index of each row's id."""
    if isinstance(ids, Ids):
        return ids.names, ids.codes
    if ids.dtype.kind in "iub":
        values, codes = np.unique(ids, return_inverse=True)
        return [str(value) for value in values.tolist()], codes
    numbers: dict[str, int] = {}
    codes = np.fromiter((numbers.setdefault(str(name), len(numbers)) for name in ids.tolist()), np.int64, len(ids))
    return list(numbers), codes


def plain_form(name: str) -> str:
    """Converts an id to a form that is equal for ids that look alike.

    Ids look alike if they differ only in white space, in letter case or in the way a whole number is written. They also
    look alike if they differ only in the Unicode form of a character, such as ``é`` as one code point or as two.
    """
    text = " ".join(unicodedata.normalize("NFKC", name).split()).casefold()
    return str(int(text.partition(".")[0])) if len(text) < 40 and NUMBER.fullmatch(text) else text


def show_pair(one: str, other: str) -> str:
    """Returns a string that shows two ids, such as ``'A' and 'a'``.

    If both ids would look the same, characters outside ASCII are written as escapes.
    """
    same = unicodedata.normalize("NFKC", one) == unicodedata.normalize("NFKC", other)
    return " and ".join(map(ascii if same else repr, (one, other)))


def find_padded(names: Sequence[str], kind: str) -> str:
    """Returns a line about ids with white space around them, or an empty string.

    Args:
        names: distinct ids.
        kind: the word for what the ids name, such as ``users``.
    """
    padded = [name for name in names if name != name.strip()]
    if not padded:
        return ""
    return f"{len(padded)} of {len(names)} ids of {kind} begin or end with white space, such as {padded[0]!r}"


def find_look_alikes(names: Sequence[str], kind: str) -> str:
    """Returns a line about ids that look alike, or an empty string if there are none.

    Args:
        names: distinct ids.
        kind: the word for what the ids name, such as ``users``.
    """
    if all(map(WHOLE.fullmatch, names)):
        return ""
    forms: dict[str, list[str]] = {}
    for name in names:
        forms.setdefault(plain_form(name), []).append(name)
    alike = [group for group in forms.values() if len(group) > 1]
    if not alike:
        return ""
    examples = ", ".join(show_pair(*group[:2]) for group in alike[:EXAMPLES])
    return (
        f"{sum(map(len, alike))} {kind} have ids that differ only in form, such as {examples}; each counts as its own"
    )
