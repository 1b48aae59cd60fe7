"""Finds the code and the files on which the numbers of a cell depend.

The worker writes the digests of this code and of these files into the record. ``run`` and ``plan`` compare the stored
digests with the current code and files. The spec and the prepared data of a cell are compared elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from robench.api.digest import digest
from robench.api.errors import DataError, UserError, UserErrors
from robench.files.sources import Sources
from robench.host.registry import Kind, Registry
from robench.pretrained.gguf import packaged_identity
from robench.spec import Cell, Part
from robench.store.record import Record
from robench.suite.load import Suite
from robench.suite.yaml import KeyPath, format_path

Reader = Literal["model", "attack"]  # the kinds of components that may read additional files


def classes_of(cell: Cell, registry: Registry) -> list[type]:
    """Returns the classes of a cell's model, defence and attack.

    Raises:
        UserError: if a component is not installed or cannot be imported.
    """
    parts: list[tuple[Kind, Part]] = [("model", cell.victim.model), ("defense", cell.victim.defense)]
    if (attack := attack_of(cell)) is not None:
        parts.append(("attack", attack))
    return [registry.class_of(kind, part.name) for kind, part in parts]


def attack_of(cell: Cell) -> Part | None:
    """Returns the attack of a cell, or None if there is none.

    The attack acts either at test time or by poisoning.
    """
    return cell.attack if cell.victim.poison is None else cell.victim.poison.attack


def readers_of(cell: Cell) -> Iterator[tuple[Reader, Part]]:
    """Yields the kind and the part of each component that may read additional files."""
    yield "model", cell.victim.model
    if (attack := attack_of(cell)) is not None:
        yield "attack", attack


def check_files(cells: Iterable[Cell], suite: Suite, registry: Registry) -> None:
    """Checks the files that models and attacks read, such as weights.

    A run calls this function before it fits anything.

    Raises:
        UserErrors: if files are missing or broken. Each error names its place in the suite.
    """
    if errors := list(find_file_errors(cells, suite, registry)):
        raise UserErrors(errors)


def find_file_errors(cells: Iterable[Cell], suite: Suite, registry: Registry) -> Iterator[UserError]:
    """Yields an error for each model or attack with missing or broken files.

    A defence that needs a missing package is an error, too.
    """
    cells = list(cells)
    defenses = {cell.victim.defense.label: cell.victim.defense for cell in cells}
    for label, part in defenses.items():
        try:
            registry.make("defense", part).check_installed()
        except DataError as error:
            yield placed(error, suite, suite.homes["defense"][label], label)
    parts = {(kind, part.label): part for cell in cells for kind, part in readers_of(cell)}
    for (kind, label), part in parts.items():
        try:
            _outside(registry, kind, part)
        except DataError as error:
            yield placed(error, suite, suite.homes[kind][label], label)


def _outside(registry: Registry, kind: Reader, part: Part) -> str:
    """Returns a digest of the files that a component and its threat model read.

    The result is empty if there are no such files.

    Raises:
        DataError: if files are missing or broken.
    """
    if kind == "model":
        return registry.make(kind, part).outside()
    attack = registry.make(kind, part)
    rules = attack.threat().title_rules
    if rules is None or rules.stealth is None:
        return attack.outside()
    try:
        return f"{attack.outside()} {packaged_identity()}"
    except DataError as error:
        raise DataError(f"stealth reads titles with a language model: {error.problem}", hint=error.hint) from None


def placed(error: DataError, suite: Suite, path: KeyPath, label: str) -> UserError:
    """Returns the error with its place in the suite.

    An error about the content of a file is not changed. An error about a missing file gets the line of the suite that
    names the file. Any other error gets the line of the component.

    Args:
        error: the error.
        suite: the suite.
        path: the place of the component in the suite.
        label: the label of the component.
    """
    named = error.where
    if named and any(os.path.lexists(file) for file in (named, named.rpartition(":")[0])):
        return error
    if named:
        path = (*path, *_setting_of(named, suite, path))
    problem = f"{named}: {error.problem}" if named else f"{label}: {error.problem}"
    return DataError(problem, where=suite.tree.place(path), path=format_path(path), hint=error.hint)


def _setting_of(file: str, suite: Suite, path: KeyPath) -> KeyPath:
    """Returns the path of the setting that names a file, or an empty path."""
    entry = suite.tree.data
    for key in path:
        entry = entry[key]
    settings = entry.items() if isinstance(entry, dict) else ()
    texts = {key: value for key, value in settings if isinstance(value, str) and key not in ("name", "label")}
    return next(((key,) for key, text in texts.items() if suite.folder / Path(text).expanduser() == Path(file)), ())


class Dependencies:
    """An object that finds the code and the files on which the cells of a run depend.

    Each component is examined only once.

    Args:
        registry: the plugins.
        sources: an object that computes the digests of code.
    """

    def __init__(self, registry: Registry, sources: Sources) -> None:
        self._registry, self._sources = registry, sources
        self._digests: dict[tuple[Reader, str], str] = {}
        self._code: dict[tuple[str, ...], dict[str, str]] = {}

    def code(self, cell: Cell) -> dict[str, str]:
        """Returns the digests of all code that takes part in a cell.

        Raises:
            UserError: if a component is not installed or cannot be imported.
        """
        attack = attack_of(cell)
        names = (cell.victim.model.name, cell.victim.defense.name, *([] if attack is None else [attack.name]))
        if names not in self._code:
            self._code[names] = self._sources.code_of(classes_of(cell, self._registry))
        return self._code[names]

    def is_neural(self, cell: Cell) -> bool:
        """Returns whether the model of a cell is neural.

        Other models never use a GPU.

        Raises:
            UserError: if the model is not installed or cannot be imported.
        """
        neural: bool = self._registry.class_of("model", cell.victim.model.name).neural
        return neural

    def outside(self, cell: Cell) -> dict[str, str]:
        """Returns the digests of files that a cell reads, by the kind of the component.

        A component is left out if it reads no files, or if its files cannot be read.
        """
        digests = {kind: self._outside(kind, part) for kind, part in readers_of(cell)}
        return {kind: value for kind, value in digests.items() if value}

    def _outside(self, kind: Reader, part: Part) -> str:
        key = kind, part.id
        if key not in self._digests:
            try:
                text = _outside(self._registry, kind, part)
            except DataError:
                text = ""
            self._digests[key] = text and digest(text)
        return self._digests[key]

    def is_stale(self, cell: Cell, record: Record) -> bool:
        """Returns whether code or files have changed since a cell was measured.

        Args:
            cell: a stored cell.
            record: the record of the cell. Files are compared only if the record holds their digests.
        """
        origin, outside = record["provenance"], self.outside(cell)
        earlier = {**outside, **origin.get("outside", {})}
        return origin["code"] != self.code(cell) or any(value != earlier[kind] for kind, value in outside.items())
