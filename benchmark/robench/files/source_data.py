"""Downloads, checks and unpacks the source data of data sets.

Source data are the files of a data set as published, and are stored in the folder ``source-data`` of the cache. Pruning
does not remove these files, because a run cannot make them again. The name of the folder with unpacked files is a
digest of the downloaded files. For each data set, a file ``NAME.json`` names this folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from robench.api.download import Download
from robench.api.errors import DataError, UserError
from robench.files.atomic import write_text
from robench.files.cache import Cache
from robench.files.http import Report, download
from robench.files.lock import locked
from robench.files.reading import parse_json, read_file
from robench.files.unpacking import copy_file, is_archive, unpack

KIND = "source-data"
ALGORITHMS = ("md5", "sha256")


@dataclass(frozen=True)
class SourceFile:
    """One downloaded file.

    Args:
        name: the name of the file.
        origin: the address or the path from which the file was taken.
        size: the size in bytes.
        sha256: the SHA-256 digest of the file.
        checked: the published checksum that the file matches, or an empty string if no checksum is published.
    """

    name: str
    origin: str
    size: int
    sha256: str
    checked: str


@dataclass(frozen=True)
class SourceData:
    """The unpacked files of a data set.

    Args:
        folder: the folder with the unpacked files.
        files: the downloaded files.
        sizes: the size of each unpacked file in bytes, by the file's path below the folder.
    """

    folder: Path
    files: tuple[SourceFile, ...]
    sizes: Mapping[str, int]


def find_source_data(cache: Cache, name: str) -> SourceData | None:
    """Returns the source data of a data set, or None if they are not in the cache.

    Args:
        cache: the cache.
        name: the identity of the data set.

    Raises:
        UserError: if the stored list of files is damaged, or if the unpacked files do not match the listed sizes.
    """
    note = _note(cache, name)
    try:
        facts = parse_json(read_file(note), str(note))
    except FileNotFoundError:
        return None
    try:
        files = tuple(SourceFile(**one) for one in facts["files"])
        found = SourceData(_folder(cache, str(facts["key"])), files, dict(facts["sizes"]))
        complete = _key(files) == facts["key"] and _sizes(found.folder) == found.sizes
    except (KeyError, TypeError, AttributeError, ValueError):
        complete = False
    if not complete:
        raise UserError("the unpacked files are damaged", where=str(note), hint=f"run: robench data prepare {name}")
    return found


def require_source_data(cache: Cache, name: str) -> Path:
    """Returns the folder with the unpacked files of a data set.

    Args:
        cache: the cache.
        name: the identity of the data set.

    Raises:
        DataError: if the files are not in the cache, or have been damaged.
    """
    try:
        found = find_source_data(cache, name)
    except UserError as error:
        raise DataError(error.problem, where=error.where, hint=error.hint) from None
    if found is None:
        raise DataError(f"the files of {name} are not on this machine", hint=f"run: robench data prepare {name}")
    return found.folder


def prepare_source_data(
    cache: Cache,
    name: str,
    downloads: Sequence[Download],
    given: Sequence[str] = (),
    report: Callable[[str], Report] = lambda _: lambda *_: None,
) -> SourceData:
    """Downloads, checks and unpacks the files of a data set into the cache.

    If undamaged files are already in the cache and ``given`` is empty, nothing is downloaded.

    Args:
        cache: the cache.
        name: the identity of the data set.
        downloads: the files that the data set declares.
        given: paths or addresses of files that replace declared downloads. A given file replaces the download with the
            same file name. Given files with other names replace the remaining downloads in order.
        report: a function that takes the name of a file, and returns the function that receives the progress of this
            file.

    Raises:
        UserError: if a declared file has no name or the name of another declared file, if more files are given than
            declared, if a file cannot be downloaded, does not match the published checksum or cannot be unpacked
            safely, or if the cache cannot be written.
    """
    names = [one.name for one in downloads]
    for one in downloads:
        if names.count(one.name) > 1 or one.name in ("", ".."):
            raise UserError("a download needs a file name of its own", where=one.url)
    origins = match_origins(downloads, given)
    try:
        cache.check()
        base = cache.folder / KIND
        base.mkdir(exist_ok=True)
        with locked(base / f"{quote(name, safe='')}.lock"):
            with suppress(UserError):  # damaged files are prepared again
                if not given and (found := find_source_data(cache, name)):
                    return found  # another process has prepared them in the meantime
            return _prepare(cache, name, downloads, origins, report)
    except OSError as error:
        raise cache.describe_failure(error) from None


def match_origins(downloads: Sequence[Download], given: Sequence[str]) -> list[str]:
    """Returns the path or the address from which each declared file is taken.

    Args:
        downloads: the files that the data set declares.
        given: paths or addresses of files that replace declared downloads.

    Raises:
        UserError: if more files are given than the data set declares.
    """
    if len(given) > len(downloads):
        raise UserError(f"{len(given)} are given, and there are {len(downloads)} files", path="--from")
    left = list(given)
    named = {Download(one).name if is_address(one) else Path(one).name: one for one in given}
    origins = [named.get(one.name, "") for one in downloads]
    left = [one for one in left if one not in origins]
    return [origin or (left.pop(0) if left else one.url) for origin, one in zip(origins, downloads, strict=True)]


def is_address(origin: str) -> bool:
    """Returns whether a string is a web address. Otherwise, the string is a path."""
    return origin.startswith(("http://", "https://"))


def _prepare(
    cache: Cache, name: str, downloads: Sequence[Download], origins: Sequence[str], report: Callable[[str], Report]
) -> SourceData:
    """Downloads, checks and unpacks the files, while the caller holds the lock."""
    base, stem = cache.folder / KIND, quote(name, safe="")
    work, fresh = base / f".{stem}.download", base / f".{stem}.unpacked"
    work.mkdir(exist_ok=True)
    shutil.rmtree(fresh, ignore_errors=True)  # a killed process may have left it
    try:
        files, paths = [], []
        for one, origin in zip(downloads, origins, strict=True):
            path = _fetch(origin, work / one.name, report(one.name))
            files.append(_check(path, one, origin, keep=path.parent != work))
            paths.append(path)
        fresh.mkdir()
        for one, path in zip(downloads, paths, strict=True):
            if is_archive(path):
                unpack(path, fresh)
            else:
                copy_file(path, fresh / one.name)
        found = SourceData(_folder(cache, _key(files)), tuple(files), _sizes(fresh))
        _keep(fresh, found)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    facts: dict[str, Any] = {"key": _key(files), "files": [asdict(one) for one in files], "sizes": found.sizes}
    write_text(_note(cache, name), json.dumps(facts, indent=1) + "\n")
    shutil.rmtree(work, ignore_errors=True)
    return found


def _fetch(origin: str, path: Path, report: Report) -> Path:
    """Returns the path of a file on this machine, after downloading it if necessary.

    Args:
        origin: the path or the address from which to take the file.
        path: the path at which a downloaded file is stored.
        report: the function that receives the progress of the download.

    Raises:
        UserError: if the file does not exist, or cannot be downloaded.
    """
    if is_address(origin):
        if not path.exists():
            download(origin, path, report)
        return path
    given = Path(origin).expanduser()
    if not given.is_file():
        problem = "a folder, where a file belongs" if given.is_dir() else "no such file"
        raise UserError(problem, where=str(given), path="--from")
    return given


def _check(path: Path, one: Download, origin: str, *, keep: bool) -> SourceFile:
    """Checks a file against the published checksum and describes the file.

    A download without a published checksum is accepted.

    Args:
        path: the path of the file.
        one: the download that the file belongs to.
        origin: the path or the address from which the file was taken.
        keep: whether the file stays if the checksum differs. Otherwise, the file is removed.

    Raises:
        UserError: if the checksum differs, or is of an unknown kind.
    """
    algorithm, _, expected = one.checksum.partition(":")
    digests = {"sha256": hashlib.sha256()}
    if one.checksum:
        if algorithm not in ALGORITHMS:
            raise UserError(f"an unknown kind of checksum: {one.checksum}", where=one.url)
        digests[algorithm] = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            for digest in digests.values():
                digest.update(block)
    if one.checksum and digests[algorithm].hexdigest() != expected.lower():
        problem = f"its {algorithm} is {digests[algorithm].hexdigest()}, and its publisher states {expected}"
        hint = "it is another file" if keep else "it was removed: the file there has changed, or was damaged on its way"
        if not keep:
            path.unlink()
        raise UserError(problem, where=origin, hint=hint)
    return SourceFile(one.name, origin, path.stat().st_size, digests["sha256"].hexdigest(), one.checksum)


def _keep(fresh: Path, found: SourceData) -> None:
    """Moves unpacked files to their final folder.

    If files with the same paths and sizes are already there, nothing is moved.
    """
    if found.folder.exists() and _sizes(found.folder) == found.sizes:
        return
    shutil.rmtree(found.folder, ignore_errors=True)
    found.folder.parent.mkdir(parents=True, exist_ok=True)
    os.replace(fresh, found.folder)


def _key(files: Sequence[SourceFile]) -> str:
    """Returns a digest of the names and contents of downloaded files."""
    return hashlib.sha256(json.dumps([[one.name, one.sha256] for one in files]).encode()).hexdigest()


def _sizes(folder: Path) -> dict[str, int]:
    """Returns the size of every file below a folder, by the file's relative path.

    The result is empty if the folder cannot be read.
    """
    with suppress(OSError):
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    return {}


def _folder(cache: Cache, key: str) -> Path:
    return cache.folder / KIND / key[:2] / key


def _note(cache: Cache, name: str) -> Path:
    return cache.folder / KIND / f"{quote(name, safe='')}.json"
