"""Reads and writes the folder of one suite's results.

The folder contains suite.yaml, plan.json, users.npz, the records of cells, and the arrays of measured cells. The cells
may be packed. A cell that was measured after the packing has separate files, which take precedence over the packed
record and arrays.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

import yaml
from numpy.typing import NDArray

from robench.api.errors import UserError
from robench.api.escapes import well_formed
from robench.files.atomic import write_bytes, write_text
from robench.files.background import BackgroundWriter, File, write_group
from robench.files.reading import read_file
from robench.files.writing import naming, naming_folder
from robench.spec import RESOLVED, TRIALS_FILE
from robench.store.archive import Archive
from robench.store.arrays import find_array_problem, find_users_problem, group_by_place
from robench.store.npz import arrays_from_bytes, arrays_to_bytes
from robench.store.record import Record, parse_record, to_text
from robench.store.seal import seal

COMMON_PARTS = ("passed", "provenance", "fit")  # the parts of records that most cells of a victim share
COMMON_ARRAYS = ("users", "indptr", "candidates")


class Store:
    """A folder of results.

    Every file is written completely or not at all.

    Args:
        folder: the folder, which is created by the first write.
        keep: whether tables will be made later. If so, ``measured`` keeps the checked arrays in memory, and records
            share equal parts.
    """

    def __init__(self, folder: Path, *, keep: bool = True) -> None:
        self.folder = folder
        self.cells = folder / "cells"
        self._cells = str(self.cells)
        self._keep = keep
        self._contents: dict[str, bytes] = {}  # checked array files that have not been parsed yet
        self._arrays: dict[str, dict[str, NDArray[Any]]] = {}
        self._records: dict[str, Record] = {}
        self._writer: BackgroundWriter | None = None
        self._shared: dict[str | bytes, Any] = {}  # values that many cells share, by their JSON or bytes
        self.archive = Archive(folder) if Archive.is_in(folder) else None

    def check_name(self, name: str) -> None:
        """Checks that the folder can hold the results of a suite.

        Args:
            name: the name of the suite.

        Raises:
            UserError: if the folder holds another suite, cannot be used, is a file, or is below a file, or if
                ``check_cells`` finds a fault.
        """
        try:
            os.lstat(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:  # the name is too long, or the folder belongs to another user
            hint = "give another --results"
            raise UserError(f"cannot be used: {error.strerror}", where=str(self.folder), hint=hint) from None
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError("a file, not a folder of results", where=str(self.folder), hint="give another --results")
        above = next(folder for folder in self.folder.absolute().parents if os.path.exists(folder))
        if not above.is_dir():
            reason = f"cannot be written: '{above.name}' is a file, not a folder"
            raise UserError(reason, where=str(self.folder), hint="give another --results")
        self.check_cells()
        path = self.folder / "suite.yaml"
        if not os.path.lexists(path):
            return
        try:
            content = yaml.safe_load(read_file(path).decode("utf-8"))
        except (yaml.YAMLError, ValueError, RecursionError):
            raise UserError("this is not a suite that robench wrote", where=str(path)) from None
        other = content.get("name") if isinstance(content, dict) else None
        if other != name:
            raise UserError(
                f"the folder holds suite '{other}', not '{name}'", where=str(path), hint="give another --results"
            )

    @naming_folder
    def begin(self, suite: str, plan: Mapping[str, Any], trials: bytes | None = None) -> None:
        """Writes suite.yaml, plan.json and, if there are trials, the file of trials.

        Args:
            suite: the validated suite as YAML text.
            plan: the content of plan.json, which this function seals.
            trials: the content of the file of trials from which settings were chosen, or None if the suite names none.

        Raises:
            UserError: if the folder cannot be written.
        """
        self.cells.mkdir(parents=True, exist_ok=True)
        if trials is not None:
            write_bytes(self.folder / TRIALS_FILE, trials)
        write_text(self.folder / "suite.yaml", RESOLVED + suite)
        write_text(self.folder / "plan.json", json.dumps(seal(plan), indent=1, ensure_ascii=False) + "\n")

    @naming_folder
    def write_users(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Writes users.npz.

        Args:
            arrays: the combined results of ``users_arrays`` for all data sets and splits.
        """
        write_bytes(self.folder / "users.npz", arrays_to_bytes(arrays))

    def users(self) -> dict[str, NDArray[Any]]:
        """Returns the arrays of users.npz, or no arrays if the file is missing.

        Raises:
            UserError: if the file is damaged.
        """
        path = self.folder / "users.npz"
        try:
            arrays = arrays_from_bytes(read_file(path), str(path))
        except FileNotFoundError:
            arrays = {} if self.archive is None else self.archive.users()
        if problem := find_users_problem(arrays):
            raise UserError(problem, where=str(path))
        return arrays

    def users_by_place(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Returns the arrays of users.npz by data set and split, then by short name.

        Raises:
            UserError: if the file is damaged.
        """
        return group_by_place(self.users())

    def loose(self, start: str = "") -> list[str]:
        """Returns the sorted ids of the cells that have files of their own.

        Args:
            start: the first characters of the ids.
        """
        return sorted(path.stem for path in self.cells.glob(f"{escape(start)}*.json"))

    def ids(self, start: str = "") -> list[str]:
        """Returns the sorted ids of all stored cells.

        Args:
            start: the first characters of the ids.
        """
        packed = [] if self.archive is None else [cell for cell in self.archive.cells if cell.startswith(start)]
        return sorted({*self.loose(start), *packed})

    @naming_folder
    def write(self, record: Record, arrays: Mapping[str, NDArray[Any]] | None, *, foreign: bool = False) -> Record:
        """Stores the arrays of a cell, and then the record with the arrays' digest.

        Inside a block of ``in_background``, a thread writes the files.

        Args:
            record: the record of the cell.
            arrays: the arrays of the cell, or None if the cell was not measured.
            foreign: whether another process made the record and the arrays. If so, both are checked before they are
                stored.

        Returns:
            The stored record, with its checksums.

        Raises:
            InvalidCellError: if ``foreign`` is true, and the files would be refused when they are read.
            UserError: if the folder cannot be written.
        """
        self.cells.mkdir(parents=True, exist_ok=True)
        try:
            whole, files = self._complete(record, arrays)
            if foreign:
                _check_cell(files)
        except Exception as error:  # foreign content may cause any exception
            if not foreign:
                raise
            reason = error.problem if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            raise InvalidCellError(reason) from error
        if self._writer is None:
            write_group(files)
        else:
            self._writer.put(files)
        self._records[record["id"]] = whole
        return whole

    def _complete(self, record: Record, arrays: Mapping[str, NDArray[Any]] | None) -> tuple[Record, list[File]]:
        """Returns a record with its checksums, and the files of its cell.

        The last file is that of the record.
        """
        files, sha256 = [], None
        if arrays is not None:
            content = arrays_to_bytes(arrays)
            sha256 = hashlib.sha256(content).hexdigest()
            files.append(File(self.cells / f"{record['id']}.npz", content))
        whole = seal(well_formed({**record, "arrays_sha256": sha256}))
        files.append(File(self.cells / f"{record['id']}.json", to_text(whole).encode()))
        return whole, files

    @contextmanager
    def in_background(self) -> Iterator[None]:
        """Lets a thread write the cells that are stored in a block of code.

        The block waits for the thread only if many cells are queued. All cells are on the disk at the end of the block.

        Raises:
            UserError: if the folder cannot be written. Cells that were stored earlier remain.
        """
        self._writer = BackgroundWriter()
        try:
            yield
        finally:
            writer, self._writer = self._writer, None
            with naming(self.folder):
                writer.close()

    def check_cells(self) -> None:
        """Checks the folder of the cells and the manifest of packed cells.

        Faults in these affect all cells. This check reports them once, before any cell is read.

        Raises:
            UserError: if the folder of the cells is a file or a link, if the manifest of the packed cells is damaged,
                or if the folder was published as aggregates.
        """
        if self.cells.exists() and not self.cells.is_dir():
            raise UserError("a file, not a folder of cells", where=str(self.cells), hint="give another --results")
        if self.cells.is_symlink():
            raise UserError("a link, not a folder of cells", where=str(self.cells), hint="give another --results")
        if self.archive is not None and self.archive.is_aggregate:
            problem = "published as aggregates: the arrays of users are withheld, and every table needs them"
            hint = "robench verify says what can be checked; robench show CELL prints a record"
            raise UserError(problem, where=str(self.folder), hint=hint)

    def read(self, cell: str) -> Record | None:
        """Returns the record of a cell, or None if the record is missing.

        Each record is read and checked only once.

        Raises:
            UserError: if the record is damaged, or belongs to another cell.
        """
        if cell not in self._records:
            path = self._path(cell, ".json")
            try:
                self._records[cell] = self._share(parse_record(read_file(path), cell, path))
            except FileNotFoundError:
                packed = None if self.archive is None else self.archive.read(cell)
                if packed is None:
                    return None
                self._records[cell] = self._share(packed)
        return self._records[cell]

    def _share(self, record: Record) -> Record:
        """Returns a record that shares equal parts with earlier records.

        Sharing saves memory.
        """
        if not self._keep:
            return record
        spec = record["spec"]
        record["spec"] = {**spec, "victim": self._shared.setdefault(record["victim"], spec["victim"])}
        for name in COMMON_PARTS:
            if name in record:
                record[name] = self._shared.setdefault(repr(record[name]), record[name])
        return record

    def arrays(self, record: Record) -> dict[str, NDArray[Any]]:
        """Returns the arrays of a measured cell's record.

        The arrays stay in memory, so a second call reads no file.

        Raises:
            UserError: if the arrays are missing or inconsistent, or if they have changed since they were written.
        """
        expected = str(record.get("arrays_sha256"))
        if expected not in self._arrays:
            content = self._content(record)
            if content is not None:
                arrays = arrays_from_bytes(content, self._path(record["id"], ".npz"))
            elif self.archive is not None:
                arrays = self.archive.arrays(record)
            if problem := find_array_problem(record, arrays):
                raise UserError(problem, where=self.where(record))
            for name in COMMON_ARRAYS:
                if name in arrays:
                    key = arrays[name].dtype.str.encode() + arrays[name].tobytes()
                    arrays[name] = self._shared.setdefault(key, arrays[name])
            self._arrays[expected] = arrays
        return dict(self._arrays[expected])

    def where(self, record: Record) -> str:
        """Returns the path of a record's file, with the line number of a packed record."""
        path = self._path(record["id"], ".json")
        return path if self.archive is None or os.path.exists(path) else self.archive.where(record["id"])

    def _path(self, cell: str, ending: str) -> str:
        return os.path.join(self._cells, cell + ending)

    def _content(self, record: Record) -> bytes | None:
        """Returns the bytes of a record's array file, after checking their sha256.

        The result is None if the archive holds the arrays.

        Raises:
            UserError: if the arrays are missing, or if they have changed since they were written.
        """
        path, expected = self._path(record["id"], ".npz"), str(record.get("arrays_sha256"))
        if expected in self._contents:
            return self._contents.pop(expected)
        try:
            content = read_file(path)
        except FileNotFoundError:
            if self.archive is not None and self.archive.holds(record):
                return None
            raise UserError("the arrays of this cell are missing", where=path) from None
        if hashlib.sha256(content).hexdigest() != expected:
            problem = "the arrays were changed after they were written: their sha256 differs"
            raise UserError(problem, where=path)
        return content

    def measured(self, cell: str) -> Record | None:
        """Returns the record of a measured cell, or None if the cell was not measured.

        The digest of the arrays is checked too. If the store keeps arrays in memory, their content is also checked.

        Raises:
            UserError: if the record or its arrays are damaged.
        """
        record = self.read(cell)
        if record is None or record["status"] != "ok":
            return None
        if record["arrays_sha256"] not in self._arrays:
            content = self._content(record)
            if content is None:
                self.arrays(record)
            elif self._keep:
                self._contents[record["arrays_sha256"]] = content
                self.arrays(record)
        return record

    def write_skipped(self, record: Record) -> None:
        """Stores the record of a skipped cell.

        Nothing is written if the same record is already stored, or if the cell was measured earlier.
        """
        try:
            earlier = self.read(record["id"])
        except UserError:
            earlier = None
        same = earlier is not None and earlier["sha256"] == seal({**record, "arrays_sha256": None})["sha256"]
        if not same and (earlier is None or earlier["status"] != "ok"):
            self.write(record, None)


class InvalidCellError(ValueError):
    """Raised if the files of a cell would be refused when they are read."""


def _check_cell(files: Sequence[File]) -> None:
    """Checks the new files of a cell in the same way as stored files.

    Args:
        files: the file of the arrays, if there is one, and then the file of the record.

    Raises:
        UserError: if the record or the arrays would be refused when they are read.
    """
    *others, last = files
    record = parse_record(last.content, last.path.stem, str(last.path))
    for file in others:
        if problem := find_array_problem(record, arrays_from_bytes(file.content, str(file.path))):
            raise UserError(problem, where=str(file.path))
