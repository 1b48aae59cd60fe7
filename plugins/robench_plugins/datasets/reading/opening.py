"""Opens and unpacks files, and recognises hidden files."""

from __future__ import annotations

import bz2
import hashlib
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from robench.api import DataError
from robench.api.errors import suggest

# The first bytes of each kind of compressed file, by its ending.
MAGIC = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\x00", ".zst": b"\x28\xb5\x2f\xfd", ".zip": b"PK"}
WORKBOOK = b"xl/workbook.xml"  # the name of a file in every .xlsx archive
ARCHIVES = (".tar", ".tgz", ".tbz2", ".txz", ".7z", ".rar")
# The first bytes of formats that are not read, or only under another name.
FOREIGN = {
    b"PAR1": "a Parquet file",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x1f\x9d": "a .Z file",
    b"\x04\x22\x4d\x18": "an LZ4 file",
    b"SQLite format 3\0": "an SQLite database",
    b"\x89HDF": "an HDF5 file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
}
# The first characters, in lower case, of texts that downloads give in place of a file.
PAGES = {
    b"<!doctype html": "a web page",
    b"<html": "a web page",
    b"version https://git-lfs.github.com/spec/": "a pointer of Git LFS",
}
BLOCK = 1 << 20
LARGEST_RATIO = 1000  # text does not shrink more than this
ALWAYS_FINE = 1 << 28  # bytes that may be unpacked whatever the ratio


def digest_of(paths: Iterable[Path]) -> str:
    """Returns the sha256 of the contents of some files, in hex digits.

    Raises:
        DataError: if a file cannot be opened, or is a pipe or a device.
    """
    digest = hashlib.sha256()
    for path in paths:
        _refuse_special(path)
        try:
            with path.open("rb") as file:
                while block := file.read(BLOCK):
                    digest.update(block)
        except OSError as error:
            raise unreadable(path, error) from None
    return digest.hexdigest()


def plain_suffix(path: Path) -> str:
    """Returns the suffix of a file's name in lower case.

    A suffix for compression, such as ``.gz`` in ``a.csv.gz``, is ignored.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in MAGIC:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def is_hidden(name: str) -> bool:
    """Returns whether a file's name is that of a hidden or temporary file."""
    return name.startswith((".", "~$")) or name in ("Thumbs.db", "desktop.ini") or name.endswith("~")


def read_content(path: Path) -> bytes:
    """Returns the bytes of a file, unpacked if it is compressed.

    The suffix of the name shows the compression: .gz, .bz2, .xz, .zst or .zip.

    Raises:
        DataError: if the file is missing or damaged, or if its name and its content disagree about the compression.
            Also if it is a folder, a pipe, a device, an Excel workbook or an archive of several files, if it has a
            password, or if it unpacks to too many bytes.
    """
    if path.name.lower().endswith((*ARCHIVES, *(f".tar{ending}" for ending in MAGIC))):
        raise DataError("an archive of files, not a file", where=str(path), hint="unpack it, and name the file")
    if path.is_dir():
        raise DataError("a folder, not a file", where=str(path))
    _refuse_special(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None
    if content.startswith(b"PK") and WORKBOOK in content:
        raise DataError("an Excel workbook", where=str(path), hint="save it as CSV, and name that file")
    ending = path.suffix.lower()
    actual = next((end for end, magic in MAGIC.items() if content.startswith(magic)), "")
    if ending not in MAGIC:
        if actual and not _is_text(content):
            hint = f"if it is, let its name end in {actual}"
            raise DataError(f"it looks like a {actual} file, and is not named so", where=str(path), hint=hint)
        return content
    if actual != ending:
        problem = f"it looks like a {actual} file" if actual else "its content is not compressed in this way"
        raise DataError(f"named {ending}, but {problem}", where=str(path))
    return _unpack(content, ending, path)


def check_text(content: bytes, path: Path) -> None:
    """Checks that the content of a file is not in a known format other than text.

    Raises:
        DataError: if the content is in such a format, is an archive, or is still compressed. Web pages and the pointers
            of Git LFS are text, and are refused too.
    """
    if _is_text(content):
        start = content[:512].lstrip().lower()
        if kind := next((name for begin, name in PAGES.items() if start.startswith(begin)), ""):
            raise DataError(f"its content is {kind}", where=str(path), hint="download the file itself")
        return
    kind = next((name for magic, name in FOREIGN.items() if content.startswith(magic)), "")
    if content[257:262] == b"ustar":
        kind = "a tar archive"
    elif not kind and (ending := next((end for end, magic in MAGIC.items() if content.startswith(magic)), "")):
        kind = f"still compressed: it looks like a {ending} file"
    if kind:
        hint = "let its name end in .parquet" if kind == "a Parquet file" else "unpack it, or export it as text"
        raise DataError(f"its content is {kind}", where=str(path), hint=hint)


def _is_text(content: bytes) -> bool:
    """Returns whether the first bytes of a file hold no control characters.

    White space is allowed.
    """
    return not any(byte < 9 or 13 < byte < 32 for byte in content[:512])


def _unpack(content: bytes, ending: str, path: Path) -> bytes:
    """Returns the unpacked bytes of a file.

    Raises:
        DataError: if the file is damaged, if it unpacks to more than 256 MiB and to more than 1,000 times its own size,
            or if a .zip has a password or does not hold exactly one file.
    """
    most = max(ALWAYS_FINE, LARGEST_RATIO * len(content))
    try:
        if ending == ".zip":
            return _only_member(content, most, path)
        return _unpack_zst(content, most) if ending == ".zst" else _unpack_streams(content, ending, most)
    except (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, ValueError) as error:
        problem = "it is cut off" if isinstance(error, EOFError) else str(error).splitlines()[0] if str(error) else ""
        raise DataError(f"a damaged {ending} file: {problem}", where=str(path)) from None


def _refuse_bomb(size: int, most: int) -> None:
    if size > most:
        raise ValueError(f"its content is more than {LARGEST_RATIO} times as large")


def _decompressor(ending: str) -> Any:
    """Returns the decompressor of one stream of a .gz, .bz2 or .xz file."""
    if ending == ".gz":
        return zlib.decompressobj(wbits=31)  # with the header and the checksum of gzip
    return bz2.BZ2Decompressor() if ending == ".bz2" else lzma.LZMADecompressor(lzma.FORMAT_XZ)


def _unpack_streams(content: bytes, ending: str, most: int) -> bytes:
    """Returns the unpacked bytes of all streams in a file.

    Bytes after the last stream are an error, unless they are zeros. Otherwise a damaged second stream would be lost
    without an error.

    Raises:
        EOFError: if the last stream is cut off.
        ValueError: if the content has more than ``most`` bytes.
        OSError, zlib.error or lzma.LZMAError: if a stream is damaged, or if other bytes follow.
    """
    unpacked, stream = bytearray(), _decompressor(ending)
    for start in range(0, len(content), BLOCK):
        block = content[start : start + BLOCK]
        while block:
            if stream.eof:
                block = block.lstrip(b"\0")
                stream = _decompressor(ending) if block else stream
                continue
            unpacked += stream.decompress(block, most + 1 - len(unpacked))
            _refuse_bomb(len(unpacked), most)
            block = stream.unused_data
    if not stream.eof:
        raise EOFError
    return bytes(unpacked)


def _unpack_zst(content: bytes, most: int) -> bytes:
    """Returns the unpacked bytes of a .zst file."""
    import pyarrow as pa  # noqa: PLC0415  # slow to import, and not needed for other files

    with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as file:
        unpacked = bytearray()
        while block := file.read(BLOCK):
            unpacked += block
            _refuse_bomb(len(unpacked), most)
    return bytes(unpacked)


def _only_member(content: bytes, most: int, path: Path) -> bytes:
    """Returns the bytes of the only file in a zip archive.

    Hidden files do not count.

    Raises:
        DataError: if the archive does not hold exactly one file, or has a password.
        ValueError: if the compression is not supported, or if the content has more than ``most`` bytes.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [
            member
            for member in archive.infolist()
            if not member.is_dir()
            and not is_hidden(PurePosixPath(member.filename).name)
            and not member.filename.startswith("__MACOSX/")
        ]
        if len(members) != 1:
            names = ", ".join(member.filename for member in members[:3])
            problem = f"a .zip of {len(members)} files" + (f" ({names})" if names else "")
            raise DataError(problem, where=str(path), hint="unpack it, and name the file")
        if members[0].flag_bits & 1:
            raise DataError("a .zip with a password", where=str(path), hint="unpack it, and name the file")
        try:
            with archive.open(members[0]) as file:
                unpacked = file.read(most + 1)
                _refuse_bomb(len(unpacked), most)
                return unpacked
        except NotImplementedError as error:
            raise ValueError(str(error)) from None


def _refuse_special(path: Path) -> None:
    """Checks that a path does not lead to a pipe or a device.

    Such a source may be endless, or may be readable only once.

    Raises:
        DataError: if it does.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError("a pipe or a device, not a file", where=str(path), hint="save its content in a file")


def unreadable(path: Path, error: OSError) -> DataError:
    """Returns the error for a file that cannot be opened.

    If the file is missing, the hint names a similar file in the same folder, if there is one. If the folder is missing
    too, the hint says so.
    """
    hint = ""
    if isinstance(error, FileNotFoundError):
        found = path.parent.is_dir()
        near = suggest(path.name, {p.name: p.name for p in path.parent.iterdir() if p.exists()}) if found else ""
        hint = near if found else f"there is no folder {path.parent}"
    problem = "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)
    if path.is_symlink() and not path.exists() and not isinstance(error, PermissionError):
        problem, hint = "a link that leads to no file", ""
    return DataError(problem, where=str(path), hint=hint)
