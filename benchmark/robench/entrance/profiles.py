"""Reads the fake users of other tools, for ``robench data import-profiles``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from robench.api.attacks.profile_file import ProfileFile
from robench.api.errors import UserError, counted
from robench.files.atomic import write_bytes
from robench.files.reading import parse_json, read_file

# the keys of the targets and of the fake users in the JSON files of each tool
_JSON_KEYS = {"VAT": ("target_items", "fake_users"), "LoRec": ("target_item", "user_data")}
_FAKE = re.compile(r"fakeUser\d+")  # the names that ARLib gives to fake users
_KNOWN = "known are the JSON files of VAT and LoRec, and the train.txt of data that ARLib has poisoned"


def import_profiles(path: Path, targets: str | None, out: Path) -> Iterator[str]:
    """Imports the fake users of another tool and yields lines for the user.

    Args:
        path: the file of the other tool.
        targets: the ids of the targets, separated by commas, or a file with these ids. If ``targets`` is None, the ids
            come from ``path``. If ``path`` has none, the targets are the items that all profiles have.
        out: the file to write.

    Raises:
        UserError: if a file cannot be read or written, if its format is unknown, or if no targets are found.
    """
    source, found, profiles = _read(path)
    distinct = tuple(tuple(dict.fromkeys(row)) for row in profiles)
    chosen = found if targets is None else _parse_targets(targets)
    if not chosen:
        chosen = tuple(item for item in distinct[0] if all(item in row for row in distinct))
    if not chosen:
        hint = "--targets ID,ID or --targets FILE names them"
        raise UserError("no target is known: no item is in all profiles", where=str(path), hint=hint)
    try:
        write_bytes(out, ProfileFile(source, chosen, distinct).to_text().encode())
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror}", where=str(out)) from None
    lengths = sorted(map(len, distinct))
    yield f"{path}: {counted(len(distinct), 'fake user')} of {source}, with {lengths[0]} to {lengths[-1]} items"
    if repeated := sum(map(len, profiles)) - sum(lengths):
        yield f"left out: {counted(repeated, 'repetition')} of an item within a profile"
    if lacking := sum(not {*chosen} <= {*row} for row in distinct):
        yield f"{counted(lacking, 'profile')} without some of the {counted(len(chosen), 'target')}"
    yield f"profiles: {out}; in a suite:"
    yield f"  attacks: [{{name: imported-profiles, file: {out}, epsilon: SHARE}}]"
    yield f"  targets: {{items: [{', '.join(chosen)}]}}"


def _read(path: Path) -> tuple[str, tuple[str, ...], list[list[str]]]:
    """Returns the name of the tool, the targets and the profiles of a file.

    There are no targets if the file does not state them.

    Raises:
        UserError: if the file cannot be read, or if it holds no fake users in a known format.
    """
    try:
        content = read_file(path)
    except FileNotFoundError:
        raise UserError("no such file", where=str(path)) from None
    if content.lstrip()[:1] == b"{":
        return _from_json(parse_json(content, str(path)), path)
    return "ARLib", (), _from_lines(content, path)


def _from_json(content: Mapping[str, Any], path: Path) -> tuple[str, tuple[str, ...], list[list[str]]]:
    for tool, (targets, users) in _JSON_KEYS.items():
        if {targets, users} <= content.keys():
            rows = content[users].values() if isinstance(content[users], Mapping) else content[users]
            return tool, tuple(_ids(content[targets], path)), _checked([_ids(row, path) for row in rows], path)
    raise UserError("not a file of fake users that robench knows", where=str(path), hint=_KNOWN)


def _from_lines(content: bytes, path: Path) -> list[list[str]]:
    """Returns the profiles of fake users in a poisoned training file of ARLib.

    Each line holds a user, an item and a rating, separated by white space.

    Raises:
        UserError: if the file is not UTF-8, if a line has a different form, or if there is no fake user.
    """
    rows: dict[str, list[str]] = {}
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise UserError("not UTF-8", where=str(path)) from None
    for number, line in enumerate(lines, 1):
        parts = line.split()
        if len(parts) == 3 and _FAKE.fullmatch(parts[0]):
            rows.setdefault(parts[0], []).append(parts[1])
        elif parts and len(parts) != 3:
            raise UserError("not a user, an item and a rating", where=f"{path}:{number}", hint=_KNOWN)
    return _checked([*rows.values()], path)


def _checked(rows: list[list[str]], path: Path) -> list[list[str]]:
    if not rows or not all(rows):
        problem = "a fake user has no items" if rows else "no fake user"
        raise UserError(problem, where=str(path), hint=_KNOWN)
    return rows


def _ids(values: Any, path: Path) -> list[str]:
    """Returns ids as strings.

    Raises:
        UserError: if the value is not a list in which each entry is a string or a whole number.
    """
    if not isinstance(values, list) or not all(isinstance(value, (str, int)) for value in values):
        raise UserError("targets and fake users must be lists of ids", where=str(path), hint=_KNOWN)
    return [str(value) for value in values]


def _parse_targets(text: str) -> tuple[str, ...]:
    """Returns the distinct ids in a string, or in the file that the string names.

    Ids are separated by commas or white space, and may have quotes.
    """
    path = Path(text)
    if path.is_file():
        text = read_file(path).decode("utf-8", "replace")
    return tuple(dict.fromkeys(part.strip("'\"") for part in re.split(r"[,\s]+", text) if part.strip("'\"")))
