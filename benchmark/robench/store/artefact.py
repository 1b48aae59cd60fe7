"""Reads artefacts: files with perturbations that somebody else has found.

An artefact is an uncompressed npz. It names one attacked cell. It holds shifts or histories of some evaluated users, or
new titles of some items. The victim, the threat model and the budget are those of the cell.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.data import IntArray
from robench.api.errors import UserError
from robench.api.escapes import well_formed
from robench.files.reading import read_file
from robench.store.npz import Arrays, arrays_from_bytes

LARGEST = 1 << 31  # the largest size of an artefact in bytes
DELTA = "delta/"  # the prefix of the arrays with a shift of each embedded input
NAMES = ("cell", "victim", "author")
FORMS = "delta/<input> for embedding, histories for history, or items and titles for text"
_ID = re.compile("[0-9a-f]{16}")


@dataclass(frozen=True, eq=False)
class Artefact:
    """The perturbations of one cell that somebody else has found.

    Args:
        content: the bytes of the file.
        where: the name of the file, for error messages.
        cell: the id of the attacked cell.
        victim: the id of the cell's victim.
        author: the person who found the perturbations.
        users: the perturbed users, as rows of the data, int64 [U]. It is empty on ``text``.
        deltas: the shift of each embedded input, float [U, ...]. It is empty on surfaces other than ``embedding``.
        histories: the edited histories, int64 [U, L], right-padded with −1. It is None on surfaces other than
            ``history``.
        titles: the new title of each rewritten item, by the item's row in the catalogue. It is empty on surfaces other
            than ``text``.
    """

    content: bytes
    where: str
    cell: str
    victim: str
    author: str
    users: IntArray
    deltas: Mapping[str, NDArray[Any]]
    histories: IntArray | None
    titles: Mapping[int, str]

    @property
    def sha256(self) -> str:
        """The sha256 of the file."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def id(self) -> str:
        """The id of the artefact, the first 16 hex digits of its sha256."""
        return self.sha256[:16]

    @property
    def surface(self) -> str:
        """The surface that the artefact perturbs."""
        return "embedding" if self.deltas else "text" if self.titles else "history"


def read_artefact(path: Path) -> Artefact:
    """Reads an artefact.

    Raises:
        UserError: if the file is missing, too large or not an artefact.
    """
    try:
        content = read_file(path, LARGEST)
    except FileNotFoundError:
        raise UserError("no such file", where=str(path)) from None
    return parse_artefact(content, str(path))


def parse_artefact(content: bytes, where: str) -> Artefact:
    """Parses the bytes of an artefact.

    Args:
        content: the bytes of the file.
        where: the name of the file, for error messages.

    Raises:
        UserError: if the file is not an artefact.
    """
    arrays = arrays_from_bytes(content, where)
    words = {name: _word(arrays, name, where) for name in NAMES}
    for name in ("cell", "victim"):
        if not _ID.fullmatch(words[name]):
            raise UserError(f"'{name}' is not an id of 16 hex digits: {words[name][:40]!a}", where=where)
    deltas = {name.removeprefix(DELTA): part for name, part in arrays.items() if name.startswith(DELTA)}
    given = [bool(deltas), "histories" in arrays, "titles" in arrays]
    if sum(given) != 1:
        raise UserError("an artefact holds the perturbations of one surface", where=where, hint=FORMS)
    known = {*NAMES, *(DELTA + name for name in deltas)} | ({"items", "titles"} if given[2] else {"users"})
    known |= {"histories"} if given[1] else set()
    if unknown := sorted(arrays.keys() - known):
        raise UserError(f"unknown array {unknown[0][:80]!a}", where=where, hint=FORMS)
    users = np.empty(0, np.int64) if given[2] else _rows(arrays, "users", where)
    histories = _histories(arrays, len(users), where) if given[1] else None
    for name, part in deltas.items():
        _check_delta(name, part, users, where)
    deltas = {
        name: part.astype(part.dtype.newbyteorder("=")) for name, part in deltas.items()
    }  # torch needs this order
    titles = _titles(arrays, where) if given[2] else {}
    return Artefact(content, where, **words, users=users, deltas=deltas, histories=histories, titles=titles)


def _word(arrays: Arrays, name: str, where: str) -> str:
    """Returns one of the strings that an artefact states.

    Each run of white space becomes one space.

    Raises:
        UserError: if the string is missing, empty or longer than 200 characters, if the array is not one string, or if
            the string has half a character.
    """
    array = arrays.get(name)
    if array is None or array.dtype.kind != "U" or array.size != 1:
        raise UserError(f"'{name}' is missing, or not one string", where=where)
    text = " ".join(str(array.reshape(-1)[0]).split())
    if not 0 < len(text) <= 200:
        raise UserError(f"'{name}' is empty, or longer than 200 characters", where=where)
    if well_formed(text) != text:
        raise UserError(f"'{name}' holds half a character (a lone surrogate)", where=where)
    return text


def _rows(arrays: Arrays, name: str, where: str) -> IntArray:
    """Returns an array with the rows of distinct users or items, int64.

    Raises:
        UserError: if the array is missing or empty, or does not hold distinct whole numbers of at least 0.
    """
    array = arrays.get(name)
    if array is None or array.dtype.kind not in "iu" or array.ndim != 1 or not len(array):
        raise UserError(f"'{name}' is missing, or not a list of whole numbers", where=where)
    rows = array.astype(np.int64)
    if len(np.unique(rows)) < len(rows) or (rows < 0).any():
        raise UserError(f"'{name}' has a number twice, or a negative one", where=where)
    return rows


def _histories(arrays: Arrays, count: int, where: str) -> IntArray:
    array = arrays["histories"]
    if array.dtype.kind not in "iu" or array.ndim != 2 or len(array) != count:
        raise UserError("'histories' does not have one row of whole numbers per user", where=where)
    return array.astype(np.int64)


def _check_delta(name: str, part: NDArray[Any], users: IntArray, where: str) -> None:
    """Checks the shift of one input.

    Raises:
        UserError: if the array does not have one row of floats per user, or has a number that is not finite.
    """
    if part.dtype.kind != "f" or part.dtype.itemsize > 8 or part.ndim < 2 or len(part) != len(users):
        raise UserError(f"'{DELTA}{name}' does not have one row of numbers per user", where=where)
    finite = np.isfinite(part).reshape(len(part), -1).all(1)
    if not finite.all():
        user = users[~finite][0]
        raise UserError(f"the δ of user {user} has a number that is not finite", where=where)


def _titles(arrays: Arrays, where: str) -> dict[int, str]:
    items, titles = _rows(arrays, "items", where), arrays["titles"]
    if titles.dtype.kind != "U" or titles.shape != items.shape:
        raise UserError("'titles' does not have one string per item", where=where)
    return dict(zip(items.tolist(), titles.tolist(), strict=True))
