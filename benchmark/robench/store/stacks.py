"""Stores the arrays of many cells as stacks in one npz.

A stack holds all arrays with the same name, type and shape. ``numpy.load`` can read an npz of stacks. The bytes of the
npz depend only on the content.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from robench.api.errors import UserError
from robench.store.npz import Arrays, parse_array

_TIME = (1980, 1, 1, 0, 0, 0)  # the time of every ZIP member, which is fixed so that equal content gives equal bytes
_PART = 4096  # the bytes per read, the fewest that zipfile reads at once, so that a part inflates to at most 30 MB
_HEADER = 1 << 12  # the largest size of an array's header, in bytes
_RATIO = 1000  # the largest accepted compression ratio of strings and of the arrays of users.npz
_MOST = 1 << 32  # the largest size of a stack in bytes


@dataclass(frozen=True, order=True)
class StackKey:
    """The key of a stack: the name, the type and the shape of its arrays.

    Args:
        name: the name of the array in a cell, for example ``ranks``.
        dtype: the type of the array in the cell. The stack may have a smaller integer type.
        shape: the shape of the array in a cell.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, name: str, array: NDArray[Any]) -> StackKey:
        """Returns the key of the stack that holds a cell's array."""
        return cls(name, array.dtype.str.lstrip("<|="), array.shape)

    def __str__(self) -> str:
        """Returns the path of the stack in the archive, such as ``cells/top/i8/671x10``."""
        return f"cells/{self.name}/{self.dtype}/{'x'.join(map(str, self.shape)) or 'scalar'}"

    @property
    def lines(self) -> str:
        """The path of the array that maps each row of the stack to a record.

        The array holds line numbers in records.jsonl, counted from 0.
        """
        return f"{self}/lines"

    @classmethod
    def parse(cls, path: str) -> StackKey:
        """Returns the key of the stack at a path.

        Raises:
            ValueError: if ``path`` is not the path of a stack.
        """
        kind, name, dtype, shape = path.split("/")
        sizes = () if shape == "scalar" else tuple(int(size) for size in shape.split("x"))
        key = cls(name, np.dtype(dtype).str.lstrip("<|="), sizes)
        if kind != "cells" or str(key) != path:
            raise ValueError(path)
        return key


def narrow_type(dtype: np.dtype[Any], low: int, high: int) -> np.dtype[Any]:
    """Returns the smallest integer type that holds both ``low`` and ``high``.

    Types other than integers are returned unchanged.
    """
    if dtype.kind not in "iu":
        return dtype
    types = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.uint64, np.int64)
    return next(np.dtype(t) for t in types if np.iinfo(t).min <= low and high <= np.iinfo(t).max)


@dataclass
class _Stack:
    """The properties of a stack, which are collected before the stack is written.

    ``lines`` holds the line numbers of the records with this array. ``low`` and ``high`` bound the stack's integers.
    """

    lines: list[int]
    low: int = 0
    high: int = 0


def write_arrays(
    file: IO[bytes], cells: Sequence[str], read: Callable[[str], Arrays], others: Mapping[str, NDArray[Any]]
) -> None:
    """Writes arrays.npz, with one cell in memory at a time.

    Args:
        file: a file that is open for writing.
        cells: the ids of the cells, in the order of the lines in records.jsonl.
        read: a function that returns the arrays of a cell, or no arrays if the cell was not measured.
        others: further arrays, by their path.
    """
    stacks: dict[StackKey, _Stack] = {}
    for line, cell in enumerate(cells):
        for name, array in read(cell).items():
            stack = stacks.setdefault(StackKey.of(name, array), _Stack([]))
            stack.lines.append(line)
            if array.dtype.kind in "iu" and array.size:
                stack.low, stack.high = min(stack.low, int(array.min())), max(stack.high, int(array.max()))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        for key in sorted(stacks):
            stack = stacks[key]
            dtype = narrow_type(np.dtype(key.dtype), stack.low, stack.high)
            rows = (read(cells[line])[key.name].astype(dtype) for line in stack.lines)
            _write_member(archive, str(key), dtype, (len(stack.lines), *key.shape), rows)
            lines = np.array(stack.lines, dtype=narrow_type(np.dtype(np.int64), 0, max(stack.lines)))
            _write_member(archive, key.lines, lines.dtype, lines.shape, [lines])
        for name in sorted(others):
            _write_member(archive, name, others[name].dtype, others[name].shape, [others[name]])


def _write_member(
    archive: zipfile.ZipFile, name: str, dtype: np.dtype[Any], shape: tuple[int, ...], parts: Iterable[NDArray[Any]]
) -> None:
    """Writes one array of an npz, part by part."""
    info = zipfile.ZipInfo(f"{name}.npy", _TIME)
    info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_LZMA, 3, 0o644 << 16
    with archive.open(info, "w", force_zip64=True) as member:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(member, header)
        for part in parts:
            member.write(np.ascontiguousarray(part).tobytes())


class Stacks:
    """The stacks of an npz, each of which is read at its first use.

    Args:
        path: the npz file.
        lines: the number of records. A stack has at most this many rows.
    """

    def __init__(self, path: Path, lines: int) -> None:
        self.path, self.lines = path, lines
        self._rows: dict[StackKey, tuple[dict[int, int], NDArray[Any]]] = {}
        with self._opened() as archive:
            members = archive.infolist()
        self._members = {info.filename.removesuffix(".npy"): info for info in members}
        if len(self._members) < len(members):
            raise UserError("two arrays have the same name", where=str(path))
        self.others = [name for name in self._members if not name.startswith("cells/")]
        names = [name for name in self._members if name.startswith("cells/") and not name.endswith("/lines")]
        try:
            self._keys = [StackKey.parse(name) for name in names]
        except (ValueError, TypeError) as error:
            raise UserError(f"not the path of a stack: {str(error)[:80]!a}", where=str(path)) from None

    def read(self, line: int) -> dict[str, NDArray[Any]]:
        """Returns the arrays of a cell, in the types in which they were measured.

        Args:
            line: the line number of the cell's record, counted from 0.

        Raises:
            UserError: if a stack is damaged.
        """
        arrays = {}
        for key in self._keys:
            rows, stack = self._stack(key)
            if line in rows:
                arrays[key.name] = np.array(stack[rows[line]], dtype=key.dtype)
        return arrays

    def other(self, name: str) -> NDArray[Any]:
        """Returns an array that belongs to no cell.

        Raises:
            UserError: if the array is damaged.
        """
        return self._read(name, most=_RATIO * self._members[name].compress_size)

    def _stack(self, key: StackKey) -> tuple[dict[int, int], NDArray[Any]]:
        """Returns a mapping from records to rows of a stack, and the stack itself.

        The keys are line numbers in records.jsonl, counted from 0.

        Raises:
            UserError: if the stack is damaged.
        """
        if key not in self._rows:
            lines = self._read(key.lines, most=8 * self.lines + _HEADER)
            if lines.ndim != 1 or lines.dtype.kind not in "iu" or not 0 < len(lines) <= self.lines:
                raise UserError(f"{key.lines}: not the lines of {self.lines} records", where=str(self.path))
            row = 8 * max(math.prod(key.shape), 1) if np.dtype(key.dtype).kind in "iufb" else _RATIO * _HEADER
            stack = self._read(str(key), most=min(len(lines) * row, _MOST) + _HEADER)
            if stack.shape != (len(lines), *key.shape):
                raise UserError(f"{key}: the shape of the stack is {stack.shape}", where=str(self.path))
            if int(lines.max()) >= self.lines or len(np.unique(lines)) < len(lines):
                raise UserError(f"{key.lines}: not the lines of {self.lines} records", where=str(self.path))
            self._rows[key] = {int(line): row for row, line in enumerate(lines)}, stack
        return self._rows[key]

    def _read(self, name: str, most: int) -> NDArray[Any]:
        """Reads one array of the npz.

        The array is inflated in small parts, because its stated size may be forged.

        Raises:
            UserError: if the array is missing or damaged, or if its file is larger than ``most`` bytes.
        """
        info = self._members.get(name)
        if info is None:
            raise UserError(f"the array {name[:80]!a} is missing", where=str(self.path))
        if info.file_size > most:
            raise UserError(f"the array {name[:80]!a} is too large: {info.file_size} bytes", where=str(self.path))
        try:
            with self._opened() as archive, archive.open(info) as member:
                content = b"".join(iter(lambda: member.read(_PART), b""))
        except UserError:
            raise
        except Exception as error:  # the zip reader raises many classes of exceptions on damaged files
            problem = f"the array {name[:80]!a} cannot be read: {type(error).__name__}"
            raise UserError(problem, where=str(self.path)) from None
        return parse_array(content, name, str(self.path))

    def _opened(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except FileNotFoundError:
            raise UserError("the file is missing", where=str(self.path)) from None
        except Exception as error:  # as above
            raise UserError(f"not a whole npz: {type(error).__name__}", where=str(self.path)) from None
