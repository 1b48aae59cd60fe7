"""Unpacks archives that may be hostile, because they come from the web."""

from __future__ import annotations

import errno
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from robench.api.errors import UserError
from robench.files.sizes import format_size

BLOCK = 1 << 20
MOST_FILES = 10_000
LARGEST_RATIO = 200  # the largest allowed ratio of unpacked size to archive size; text is not compressed further
ALWAYS_FINE = 1 << 28  # the number of bytes that may always be unpacked, whatever the ratio
LONGEST_PATH, LONGEST_PART = 1000, 255  # in bytes; most file systems refuse a longer name of a file or a folder
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, ValueError)


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Args:
        name: the path of the file in the archive.
        size: the size in bytes that the archive states.
        open: a function that opens the file for reading.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def is_archive(path: Path) -> bool:
    """Returns whether the name of a file is that of an archive, such as ``a.zip``."""
    return path.name.lower().endswith((".zip", *TARS))


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks an archive into an empty folder.

    An archive is refused if it contains links, devices, paths that leave the folder, conflict or are too long, or more
    than 10,000 files. It is also refused if it unpacks to more than 256 MiB and to more than 200 times its own size.
    These rules are checked before anything is written. While writing, the unpacked bytes are counted again.

    Args:
        archive: the path of a .zip or .tar file. A .tar file may be compressed.
        folder: the folder, which must exist.

    Raises:
        UserError: if the archive is damaged, is encrypted, has an unsupported compression, or breaks a rule.
        OSError: if a file cannot be written.
    """
    most = max(ALWAYS_FINE, LARGEST_RATIO * archive.stat().st_size)
    try:
        with ExitStack() as stack:
            _write(_list_members(archive, stack), folder, archive, most)
    except RuntimeError as error:
        if isinstance(error, NotImplementedError) or "password" in str(error):
            raise UserError(f"cannot be unpacked: {error}", where=str(archive)) from None
        raise
    except DAMAGE as error:
        raise UserError(f"a damaged archive: {error}", where=str(archive)) from None


def _list_members(archive: Path, stack: ExitStack) -> list[Member]:
    """Returns the files in an archive, which stays open until ``stack`` is closed."""
    with _reading(archive):
        if archive.name.lower().endswith(".zip"):
            return list(_zip_members(stack.enter_context(zipfile.ZipFile(archive)), archive))
        return list(_tar_members(stack.enter_context(tarfile.open(archive)), archive))


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turns an ``OSError`` while an archive is read into a ``UserError``.

    Python also reports damage as an ``OSError``: a wrong position in a .zip file, or a wrong checksum of gzip.
    """
    try:
        yield
    except OSError as error:
        problem = "a damaged archive" if error.errno in (None, errno.EINVAL) else "cannot be read"
        raise UserError(f"{problem}: {error.strerror or error}", where=str(archive)) from None


def _zip_members(file: zipfile.ZipFile, archive: Path) -> Iterator[Member]:
    """Yields the files in a .zip archive.

    Raises:
        UserError: if the archive contains a link, a device, or a name with a NUL.
    """
    for info in file.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _hostile(archive, info.filename, "is a link or a device")
        if info.orig_filename != info.filename and "\0" in info.orig_filename:
            raise _hostile(archive, info.filename, "has a NUL in its name")
        if not info.is_dir():
            yield Member(info.filename, info.file_size, partial(file.open, info))


def _tar_members(tar: tarfile.TarFile, archive: Path) -> Iterator[Member]:
    """Yields the files in a .tar archive.

    Raises:
        UserError: if the archive contains a link, a device, or too many entries.
    """
    for number, info in enumerate(tar):
        if number > MOST_FILES:
            raise _hostile(archive, info.name, f"comes after {MOST_FILES} others")
        if not (info.isreg() or info.isdir()):
            raise _hostile(archive, info.name, "is a link or a device")
        if info.isreg():
            yield Member(info.name, info.size, partial(_open_member, tar, info))


def _open_member(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    """Opens a regular file in a .tar archive for reading.

    Raises:
        tarfile.ReadError: if the archive has no content for the file.
    """
    file = tar.extractfile(info)
    if file is None:
        raise tarfile.ReadError(f"{info.name!a} has no content")
    return file


def _write(members: list[Member], folder: Path, archive: Path, most: int) -> None:
    """Checks the files of an archive, and then writes them into a folder.

    Args:
        members: the files of the archive.
        folder: the folder.
        archive: the path of the archive, for error messages.
        most: the largest total size of the unpacked files, in bytes.

    Raises:
        UserError: if ``_check`` refuses the files, or if they unpack to more than ``most`` bytes.
        OSError: if a file cannot be written.
    """
    targets = _check(members, folder, archive, most)
    left = most
    for member, target in zip(members, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for block in _read_blocks(member, archive):
                left -= len(block)
                if left < 0:
                    raise _hostile(archive, member.name, f"unpacks to more than {format_size(most)}")
                file.write(block)


def _read_blocks(member: Member, archive: Path) -> Iterator[bytes]:
    """Yields the content of a file in an archive, block by block."""
    with _reading(archive), member.open() as source:
        while block := source.read(BLOCK):
            yield block


def _check(members: list[Member], folder: Path, archive: Path, most: int) -> list[Path]:
    """Checks the files of an archive and returns the path to write for each file.

    Raises:
        UserError: if a path leaves the folder or is too long, if two paths conflict, or if there are too many files or
            bytes.
    """
    if len(members) > MOST_FILES:
        raise UserError(f"an archive of more than {MOST_FILES} files", where=str(archive))
    size = sum(member.size for member in members)
    if size > most:
        raise UserError(f"unpacks to {format_size(size)}, which is too much", where=str(archive))
    targets = []
    files: set[str] = set()
    folders: set[str] = set()
    for member in members:
        parts = PurePosixPath(member.name).parts
        outside = member.name.startswith("/") or ".." in parts or any(sign in member.name for sign in "\\:\0")
        if outside or not parts:
            raise _hostile(archive, member.name, "leaves the folder")
        if len(os.fsencode(member.name)) > LONGEST_PATH or max(len(os.fsencode(part)) for part in parts) > LONGEST_PART:
            raise _hostile(archive, member.name, "has a name that is too long")
        folded = "/".join(parts).casefold()
        folders.update(_parents(folded))
        if folded in files or folded in folders or not files.isdisjoint(_parents(folded)):
            raise _hostile(archive, member.name, "occurs twice")
        files.add(folded)
        targets.append(folder.joinpath(*parts))
    return targets


def _parents(name: str) -> Iterable[str]:
    """Returns the relative path of every folder above a file."""
    return [str(path) for path in PurePosixPath(name).parents if str(path) != "."]


def _hostile(archive: Path, name: str, problem: str) -> UserError:
    return UserError(f"not unpacked: {name[:200]!a} {problem}", where=str(archive))


def copy_file(source: Path, target: Path) -> None:
    """Copies the content of a file to a new file.

    Raises:
        OSError: if the new file already exists, or if a file cannot be read or written.
    """
    with source.open("rb") as old, target.open("xb") as new:
        shutil.copyfileobj(old, new, BLOCK)
