"""Lists the entries of the cache and removes the least recently used entries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from robench.api.errors import UserError
from robench.files.cache import Cache
from robench.files.leftovers import remove_path
from robench.files.lock import is_free, unless_shared
from robench.files.source_data import KIND

# The endings of the parts of an entry. An entry is one file, a file with a file of digests, or a folder with a file of
# digests.
PARTS = (".safetensors", ".npz", ".json", "")


@dataclass(frozen=True)
class CachedEntry:
    """One entry of the cache.

    Args:
        kind: the name of the subfolder for entries of this kind.
        paths: the paths of the entry's files and folders. If there is a file of digests, it comes first.
        size: the total size in bytes.
        used: the time of the last use, in seconds since 1970.
    """

    kind: str
    paths: tuple[Path, ...]
    size: int
    used: float

    @property
    def locked(self) -> bool:
        """True if a process is making the entry and therefore holds its lock."""
        lock = self.paths[0].with_suffix(".lock")
        return lock.exists() and not is_free(lock)


@dataclass(frozen=True)
class Pruning:
    """The result of pruning a cache.

    Args:
        removed: the number of removed entries.
        removed_size: the total size of the removed entries in bytes.
        left: the number of remaining entries.
        left_size: the total size of the remaining entries in bytes.
    """

    removed: int
    removed_size: int
    left: int
    left_size: int


def list_entries(cache: Cache) -> list[CachedEntry]:
    """Returns the entries of a cache, sorted by kind.

    Among the entries of a kind, the least recently used comes first.
    """
    entries = [entry for kind in sorted(_folders(cache.folder)) for entry in _entries_of(kind)]
    return sorted(entries, key=lambda entry: (entry.kind, entry.used, entry.paths))


def prune(cache: Cache, most: int) -> Pruning:
    """Removes the least recently used entries until the rest is small enough.

    An entry that a process is making is never removed. The downloaded files of data sets are neither counted nor
    removed, because a run cannot make them again.

    Args:
        cache: the cache.
        most: the largest total size of the remaining entries, in bytes.

    Raises:
        UserError: if a run uses the cache.
    """
    if not cache.folder.is_dir():
        return Pruning(0, 0, 0, 0)
    with unless_shared(cache.use_lock) as alone:
        if not alone:
            raise UserError("a run uses the cache", where=str(cache.folder), hint="wait until it ends")
        entries = [entry for entry in list_entries(cache) if entry.kind != KIND]
        entries.sort(key=lambda entry: (entry.used, entry.paths))
        size = sum(entry.size for entry in entries)
        removed: list[CachedEntry] = []
        for entry in entries:
            if size <= most:
                break
            if not entry.locked:
                for path in entry.paths:  # the digests are removed first, so that an incomplete entry counts as missing
                    remove_path(path)
                removed.append(entry)
                size -= entry.size
    return Pruning(len(removed), sum(entry.size for entry in removed), len(entries) - len(removed), size)


def _folders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())


def _entries_of(kind: Path) -> Iterator[CachedEntry]:
    """Yields the entries in the subfolder for a kind."""
    names = {path.with_suffix("") for start in _folders(kind) for path in start.iterdir() if path.name[0] != "."}
    for name in names:
        paths = [path for end in reversed(PARTS) if (path := name.with_suffix(end)).exists()]
        if paths:
            with suppress(OSError):  # another process has removed the entry
                yield _entry(kind.name, paths)


def _entry(kind: str, paths: list[Path]) -> CachedEntry:
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*"))]
    status = [file.lstat() for file in files]
    used = max((max(one.st_atime, one.st_mtime) for one in [path.lstat() for path in paths]), default=0.0)
    ordered = sorted(paths, key=lambda path: path.suffix != ".json")
    return CachedEntry(kind, tuple(ordered), sum(one.st_size for one in status), used)
