"""Describes and prunes the cache.

The command ``robench cache`` uses this module.
"""

from __future__ import annotations

from robench.api.errors import UserError
from robench.files.cache import Cache, default_folder
from robench.files.pruning import list_entries, prune
from robench.files.sizes import format_size, parse_size


def describe_cache() -> list[str]:
    """Returns lines that describe the contents of the cache.

    The first line names the folder of the cache. One line per kind of entry follows. The last line gives the total.
    """
    cache = Cache(default_folder())
    entries = list_entries(cache)
    lines = [f"cache: {cache.folder}"]
    for kind in dict.fromkeys(entry.kind for entry in entries):
        sizes = [entry.size for entry in entries if entry.kind == kind]
        lines.append(f"{kind}: {_count(len(sizes))}, {format_size(sum(sizes))}")
    return [*lines, f"together: {_count(len(entries))}, {format_size(sum(entry.size for entry in entries))}"]


def prune_cache(most: str) -> str:
    """Removes the least recently used entries until the cache is small enough.

    Args:
        most: the maximum size of the remaining entries, such as ``2GiB``.

    Returns:
        A line with the numbers and sizes of removed and remaining entries.

    Raises:
        UserError: if ``most`` is not a size, or if a run uses the cache.
    """
    try:
        size = parse_size(most)
    except ValueError as error:
        raise UserError(f"{most!a} {error}", path="--max-size") from None
    done = prune(Cache(default_folder()), size)
    removed, left = _count(done.removed), _count(done.left)
    return f"removed: {removed}, {format_size(done.removed_size)}; left: {left}, {format_size(done.left_size)}"


def _count(number: int) -> str:
    return "1 entry" if number == 1 else f"{number} entries"
