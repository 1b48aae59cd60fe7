"""Writes and reads npz files.

Arrays are stored uncompressed, and are never unpickled. No array can be larger than its file.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robench.api.errors import UserError

Arrays = Mapping[str, NDArray[Any]]

_MAGIC, _LENGTH = b"\x93NUMPY\x01\x00", struct.Struct("<H")
_END = struct.Struct("<4s4H2LH")  # the layouts of the end of a zip file, of a directory entry, and of a member's header
_ENTRY = struct.Struct("<4s4x2H4x3L3H8xL")
_LOCAL = struct.Struct("<4s2x2H16x2H")
_HEADER = re.compile(
    r"\{'descr': '(?P<dtype>[<>|=][biufU][0-9]{1,9})', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>(?:[0-9]{1,18}, ?)*(?:[0-9]{1,18})?)\), \} *\n"
)


def arrays_to_bytes(arrays: Arrays) -> bytes:
    """Returns the bytes of an uncompressed npz, which depend only on the arrays."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})
    return buffer.getvalue()


def hash_arrays(arrays: Arrays) -> str:
    """Returns the sha256 of the names, types, shapes and bytes of arrays.

    The hash does not depend on the file that holds the arrays.
    """
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def arrays_from_bytes(content: bytes, where: str) -> dict[str, NDArray[Any]]:
    """Returns the arrays of an uncompressed npz.

    Only arrays of numbers or strings are read. A compressed member is refused, because it could inflate to any size.

    Args:
        content: the bytes of the file.
        where: the name of the file in error messages.

    Raises:
        UserError: if the file is not a complete npz with uncompressed arrays of numbers or strings.
    """
    if (members := _plain_members(content)) is not None:
        return {name: parse_array(part, name, where) for name, part in members.items()}
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            for member in file.infolist():
                name = member.filename.removesuffix(".npy")
                if name in arrays or name == member.filename:
                    raise UserError(f"not an npz: member {member.filename[:80]!a}", where=where)
                if member.compress_type != zipfile.ZIP_STORED or member.file_size > len(content):
                    raise UserError(f"the array {name[:80]!a} is compressed or too large", where=where)
                arrays[name] = parse_array(file.read(member), name, where)
    except UserError:
        raise
    except Exception as error:  # the zip reader raises many classes of exceptions on damaged files
        problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise UserError(f"not a whole npz: {problem[:200]}", where=where) from None
    return arrays


def _plain_members(content: bytes) -> dict[str, bytes] | None:
    """Returns the members of an npz with the layout of ``arrays_to_bytes``.

    The result is None if the layout differs. This function takes less than half the time of ``zipfile``. The caller
    reads other layouts and damaged files with ``zipfile``, which reports what is wrong.
    """
    try:
        return _read_members(content)
    except (struct.error, _OtherLayoutError):  # a struct.error means that the content ends too early
        return None


def _read_members(content: bytes) -> dict[str, bytes]:
    """Returns the members of a zip file without compression and without gaps.

    The content of each member is compared with its checksum.

    Raises:
        _OtherLayoutError: if a member is compressed, if there is a gap, or if a checksum differs.
        struct.error: if the file ends too early.
    """
    end = len(content) - _END.size
    magic, disk, other, here, count, size, directory, comment = _END.unpack_from(content, max(end, 0))
    _expect(magic == b"PK\5\6" and not (disk or other or comment) and here == count and directory + size == end)
    members: dict[str, bytes] = {}
    at, place = directory, 0
    for _ in range(count):
        magic, flags, method, crc, packed, length, name_length, extra, note, start = _ENTRY.unpack_from(content, at)
        at += _ENTRY.size + name_length
        name = content[at - name_length : at]
        _expect(magic == b"PK\1\2" and not (flags or method or extra or note) and packed == length)
        _expect(start == place and name.isascii() and name.endswith(b".npy"))
        magic, flags, method, name_length, extra = _LOCAL.unpack_from(content, place)
        begin = place + _LOCAL.size + name_length + extra
        _expect((magic, flags, method) == (b"PK\3\4", 0, 0) and content.startswith(name, place + _LOCAL.size))
        place = begin + length
        part, short = content[begin:place], name[:-4].decode()
        _expect(name_length == len(name) and short not in members and zlib.crc32(part) == crc)
        members[short] = part
    _expect((at, place) == (end, directory))
    return members


class _OtherLayoutError(Exception):
    """Raised if a zip file cannot be read member by member.

    The file has gaps, compression or another unexpected layout, or a checksum differs.
    """


def _expect(holds: bool) -> None:
    if not holds:
        raise _OtherLayoutError


def parse_array(content: bytes, name: str, where: str) -> NDArray[Any]:
    """Returns the array in the npy file of a member.

    Args:
        content: the bytes of the npy file.
        name: the name of the array, for error messages.
        where: the name of the npz file, for error messages.

    Raises:
        UserError: if the header cannot be read or states more than eight axes, if the rest of the file does not have
            the size that the header states, or if a string is not Unicode.
    """
    begin, header = len(_MAGIC) + _LENGTH.size, None
    if content.startswith(_MAGIC) and len(content) >= begin:
        end = begin + _LENGTH.unpack_from(content, len(_MAGIC))[0]
        header = _parse_header(content[begin:end])
    if header is None:
        raise UserError(f"the array {name[:80]!a} has no header that can be read", where=where)
    dtype, shape, order = header
    if math.prod(shape) * dtype.itemsize != len(content) - end or len(shape) > 8:
        raise UserError(f"the array {name[:80]!a} is not as large as its header says", where=where)
    array = np.frombuffer(content, dtype, offset=end) if dtype.itemsize else np.empty(math.prod(shape), dtype)
    if dtype.kind == "U" and array.nbytes and array.view(f"{dtype.str[0]}u4").max() > sys.maxunicode:
        raise UserError(f"the array {name[:80]!a} has text that is not Unicode", where=where)
    return array.reshape(shape, order=order)


@lru_cache(maxsize=1024)
def _parse_header(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...], Literal["C", "F"]] | None:
    """Returns the type, the shape and the memory order that an npy header states.

    The result is None if the header is not valid.
    """
    parts = _HEADER.fullmatch(header.decode("latin1"))
    if parts is None:
        return None
    shape = tuple(int(size) for size in parts["shape"].split(",") if size.strip())
    try:
        dtype = np.dtype(parts["dtype"])
    except (TypeError, ValueError):  # no type has this size
        return None
    return dtype, shape, "F" if parts["fortran"] == "True" else "C"
