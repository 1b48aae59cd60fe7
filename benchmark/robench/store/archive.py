"""Reads and writes the published form of a folder of results.

In this form, the files records.jsonl, arrays.npz and MANIFEST.json replace users.npz and the files of single cells.
``robench pack`` writes this form, and ``Store`` reads it. Packing keeps every record and array, so a run can continue
from a packed folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray
from pydantic import ValidationError

from robench.api.digest import digest
from robench.api.errors import UserError, counted
from robench.files.atomic import replacing, write_bytes
from robench.files.reading import parse_json, read_file
from robench.spec import CellId
from robench.store.models import Content, Sha256, first_problem
from robench.store.npz import Arrays, hash_arrays
from robench.store.record import Record, parse_record
from robench.store.stacks import Stacks, write_arrays

RECORDS, ARRAYS, MANIFEST = "records.jsonl", "arrays.npz", "MANIFEST.json"
FORMAT_VERSION = 1
AGGREGATE: Literal["aggregate"] = "aggregate"  # the published form without the arrays of users


class Manifest(Content):
    """The content of MANIFEST.json.

    Args:
        format_version: the version of the published form.
        versions: the versions of the packages that wrote the tables and the page.
        files: the sha256 of every other file, by name.
        cells: the sha256 of every cell, by id, in the order of records.jsonl. See ``hash_cell``.
        root: the sha256 of all other fields.
        published: ``aggregate`` if arrays.npz is withheld. The hashes of the cells are still those with their arrays.
    """

    format_version: Literal[1]
    versions: dict[str, str]
    files: dict[str, Sha256]
    cells: dict[CellId, Sha256]
    root: Sha256
    published: Literal["aggregate"] | None = None


def to_line(record: Record) -> str:
    """Returns the canonical JSON line of a record, without a line break.

    The fields keep their order, and no spaces separate them.
    """
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hash_cell(record: Record, arrays: Arrays) -> str:
    """Returns one sha256 of a cell's record and the content of its arrays.

    The hash does not depend on the file that holds the record or the arrays.
    """
    return hashlib.sha256(f"{to_line(record)}\n{hash_arrays(arrays)}".encode()).hexdigest()


def hash_file(path: Path) -> str:
    """Returns the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_manifest(manifest: Mapping[str, Any]) -> str:
    """Returns the root of a manifest, which is the sha256 of all other fields."""
    rest = {name: part for name, part in manifest.items() if name != "root"}
    return digest(rest, length=64)


def write_archive(
    folder: Path,
    records: Mapping[str, Record],
    read: Callable[[str], Arrays],
    users: Arrays,
    files: Sequence[str],
    versions: Mapping[str, str],
) -> None:
    """Writes records.jsonl, arrays.npz and MANIFEST.json.

    Args:
        folder: the folder to write to, which already has the other files.
        records: the records, by the id of the cell.
        read: a function that returns the arrays of a cell, or no arrays if the cell was not measured.
        users: the arrays of users.npz.
        files: the names of the other files that are published.
        versions: the versions of the packages that wrote the tables and the page.
    """
    cells = sorted(records)
    lines = "".join(f"{to_line(records[cell])}\n" for cell in cells).encode()
    # All new files are complete before an old one is replaced, because the arrays may be read from the old files.
    with ExitStack() as stack:
        manifest_file, record_file, array_file = (
            stack.enter_context(replacing(folder / name)) for name in (MANIFEST, RECORDS, ARRAYS)
        )
        record_file.write(lines)
        write_arrays(array_file, cells, read, {f"users/{name}": array for name, array in users.items()})
        hashes = {name: hash_file(folder / name) for name in files}
        for name, file in ((RECORDS, record_file), (ARRAYS, array_file)):
            file.seek(0)
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # it is readable
        hashed = {cell: hash_cell(records[cell], read(cell)) for cell in cells}
        manifest_file.write(_manifest(hashes, hashed, versions))


def write_aggregate(
    folder: Path,
    records: Mapping[str, Record],
    read: Callable[[str], Arrays],
    files: Sequence[str],
    versions: Mapping[str, str],
) -> None:
    """Writes records.jsonl and a manifest, and no array.

    The arguments are those of ``write_archive``. The hash of a cell covers its arrays, so their owner can prove later
    that they are the ones that were measured.
    """
    cells = sorted(records)
    write_bytes(folder / RECORDS, "".join(f"{to_line(records[cell])}\n" for cell in cells).encode())
    hashes = {name: hash_file(folder / name) for name in (*files, RECORDS)}
    hashed = {cell: hash_cell(records[cell], read(cell)) for cell in cells}
    write_bytes(folder / MANIFEST, _manifest(hashes, hashed, versions, {"published": AGGREGATE}))


def copy_archive(archive: Archive, folder: Path, files: Sequence[str], versions: Mapping[str, str]) -> None:
    """Copies packed cells to a folder and writes a new manifest.

    The compressed arrays are copied, which takes a fraction of the time of ``write_archive``.

    Args:
        archive: the packed cells.
        folder: the folder to write to, which already has the other files. It may be the folder of the archive.
        files: the names of the other files that are published.
        versions: the versions of the packages that wrote the tables and the page.
    """
    cells = archive.manifest["cells"]
    for name in (RECORDS, ARRAYS):
        write_bytes(folder / name, read_file(archive.folder / name))
    hashes = {name: hash_file(folder / name) for name in (*files, RECORDS, ARRAYS)}
    write_bytes(folder / MANIFEST, _manifest(hashes, cells, versions))


def renew_manifest(folder: Path, files: Sequence[str], versions: Mapping[str, str]) -> None:
    """Writes the new hashes of some files to the manifest of a packed folder.

    All other hashes stay, so a record, an array or a plan that was changed after the packing is still found.

    Args:
        folder: the packed folder.
        files: the names of the files that were written again.
        versions: the versions of the packages that wrote the files.

    Raises:
        UserError: if the manifest is missing or damaged.
    """
    manifest = Archive(folder).manifest
    hashes = {name: hash_file(folder / name) for name in files}
    write_bytes(folder / MANIFEST, _manifest({**manifest["files"], **hashes}, manifest["cells"], versions))


def _manifest(
    hashes: Mapping[str, str],
    cells: Mapping[str, str],
    versions: Mapping[str, str],
    more: Mapping[str, str] | None = None,
) -> bytes:
    """Returns the content of MANIFEST.json.

    Args:
        hashes: the sha256 of every other file, by name.
        cells: the sha256 of every cell, by id, in the order of records.jsonl.
        versions: the versions of the packages that wrote the tables and the page.
        more: further fields.
    """
    manifest: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "versions": dict(versions),
        "files": dict(sorted(hashes.items())),
        "cells": dict(cells),
        **(more or {}),
    }
    manifest["root"] = hash_manifest(manifest)
    return (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode()


class Archive:
    """The packed results of a folder.

    Args:
        folder: the folder that contains the packed results.
    """

    FILES = (RECORDS, ARRAYS, MANIFEST)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Returns whether a folder has packed results."""
        return any(os.path.isfile(folder / name) for name in Archive.FILES)  # False if the name is too long

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The content of MANIFEST.json.

        Raises:
            UserError: if the manifest is missing or damaged, or was changed after it was written.
        """
        path = self.folder / MANIFEST
        try:
            manifest = parse_json(read_file(path), str(path))
        except FileNotFoundError:
            problem = f"{MANIFEST} is missing: the packed folder is incomplete"
            raise UserError(problem, where=str(self.folder), hint="copy it again") from None
        try:
            Manifest.model_validate(manifest)
        except ValidationError as error:
            raise UserError(
                f"not a manifest of format {FORMAT_VERSION}: {first_problem(error)}", where=str(path)
            ) from None
        if hash_manifest(manifest) != manifest.get("root"):
            raise UserError("the manifest was changed after it was written: its root differs", where=str(path))
        return dict(manifest)

    @property
    def is_aggregate(self) -> bool:
        """Whether the folder was published without the arrays of users."""
        return self.manifest.get("published") == AGGREGATE

    @cached_property
    def _lines(self) -> dict[str, tuple[int, bytes]]:
        """The index and the bytes of every record's line, by the id of the cell.

        Raises:
            UserError: if records.jsonl is missing, or if it does not have one line per cell of the manifest.
        """
        path = self.folder / RECORDS
        try:
            lines = read_file(path).splitlines()
        except FileNotFoundError:
            raise UserError("the file is missing", where=str(path)) from None
        if len(lines) != len(self.cells):
            problem = f"{counted(len(lines), 'line')} for the {counted(len(self.cells), 'cell')} of the manifest"
            raise UserError(problem, where=str(path))
        return {cell: (number, line) for number, (cell, line) in enumerate(zip(self.cells, lines, strict=True))}

    @cached_property
    def _stacks(self) -> Stacks:
        return Stacks(self.folder / ARRAYS, len(self.cells))

    @property
    def cells(self) -> list[str]:
        """The ids of the packed cells, in the order of their lines."""
        return list(self.manifest["cells"])

    def read(self, cell: str) -> Record | None:
        """Returns the record of a cell, or None if the cell is not packed.

        Raises:
            UserError: if the record is damaged.
        """
        if cell not in self.manifest["cells"]:
            return None
        return parse_record(self._lines[cell][1], cell, self.where(cell))

    def where(self, cell: str) -> str:
        """Returns the file and the line of a packed record."""
        return f"{self.folder / RECORDS}:{self._lines[cell][0] + 1}"

    def holds(self, record: Record) -> bool:
        """Returns whether the archive holds exactly this record."""
        cell = record["id"]
        return cell in self.manifest["cells"] and self._lines[cell][1] == to_line(record).encode()

    def arrays(self, record: Record) -> dict[str, NDArray[Any]]:
        """Returns the arrays of a record, or no arrays if its cell was not measured.

        The arrays have the types that they had when they were measured.

        Raises:
            UserError: if the arrays are damaged.
        """
        cell = record["id"]
        arrays = self._stacks.read(self._lines[cell][0])
        if hash_cell(record, arrays) != self.manifest["cells"][cell]:
            problem = f"the arrays of cell {cell} were changed after they were packed: its hash differs"
            raise UserError(problem, where=str(self.folder / ARRAYS))
        return arrays

    def users(self) -> dict[str, NDArray[Any]]:
        """Returns the arrays of users.npz."""
        return {name.removeprefix("users/"): self._stacks.other(name) for name in self._stacks.others}


def check_archive(archive: Archive) -> None:
    """Checks the record and the arrays of every packed cell against the cell's hash.

    Raises:
        UserError: if a hash differs, or a file is damaged.
    """
    for cell in archive.cells:
        record = archive.read(cell)
        assert record is not None  # the cell is in the manifest
        archive.arrays(record)
