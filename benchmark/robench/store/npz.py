"""Writes and reads npz files: arrays that are stored uncompressed, never unpickled, and never larger than the file."""

from __future__ import annotations

import hashlib
import io
import math
import re
import struct
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.errors import UserError

Arrays = Mapping[str, NDArray[Any]]

_MAGIC, _LENGTH = b"\x93NUMPY\x01\x00", struct.Struct("<H")
_HEADER = re.compile(
    r"\{'descr': '(?P<dtype>[<>|=][biufU][0-9]{1,9})', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>(?:[0-9]{1,18}, ?)*(?:[0-9]{1,18})?)\), \} *\n"
)


def arrays_to_bytes(arrays: Arrays) -> bytes:
    """Returns an uncompressed npz; the same arrays give the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: arrays[name] for name in sorted(arrays)})
    return buffer.getvalue()


def hash_arrays(arrays: Arrays) -> str:
    """Returns the sha256 of the names, types, shapes and bytes of arrays, whatever file they are in."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def arrays_from_bytes(content: bytes, where: str) -> dict[str, NDArray[Any]]:
    """Returns the arrays of an uncompressed npz.

    Numbers and texts are read, and nothing else. A compressed member is refused, because it could inflate to any size.

    Args:
        content: the bytes of the file.
        where: what an error calls the file.

    Raises:
        UserError: if it is no whole npz of this kind.
    """
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
    except Exception as error:  # the reader of archives raises exceptions of many classes on damaged ones
        problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise UserError(f"not a whole npz: {problem[:200]}", where=where) from None
    return arrays


def parse_array(content: bytes, name: str, where: str) -> NDArray[Any]:
    """Returns the array of a member, whose header must say exactly as many bytes as there are."""
    begin = len(_MAGIC) + _LENGTH.size
    header = None
    if content.startswith(_MAGIC) and len(content) >= begin:
        end = begin + _LENGTH.unpack_from(content, len(_MAGIC))[0]
        header = _HEADER.fullmatch(content[begin:end].decode("latin1"))
    if header is None:
        raise UserError(f"the array {name[:80]!a} has no header that can be read", where=where)
    dtype = np.dtype(header["dtype"])
    shape = tuple(int(size) for size in header["shape"].split(",") if size.strip())
    if math.prod(shape) * dtype.itemsize != len(content) - end or len(shape) > 8:
        raise UserError(f"the array {name[:80]!a} is not as large as its header says", where=where)
    array = np.frombuffer(content, dtype, offset=end) if dtype.itemsize else np.empty(math.prod(shape), dtype)
    return array.reshape(shape, order="F" if header["fortran"] == "True" else "C")
