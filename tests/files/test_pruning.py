"""Tests which files form a cache entry, and which entries are pruned first."""

import os
from pathlib import Path

import numpy as np
import pytest

from robench.api.errors import UserError
from robench.files.cache import Cache
from robench.files.lock import locked, sharing
from robench.files.pruning import list_entries, prune
from robench.files.sizes import format_size, parse_size

pytestmark = pytest.mark.unit
KEYS = ("aa1", "aa2", "bb3")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """Returns a cache with entries that were last used one day apart.

    In the order of their keys, each entry was used a day later than the one before.
    """
    cache = Cache(tmp_path / "cache")
    for key in KEYS:
        cache.write("checkpoints", key, {"x": np.zeros(1000)}, {})
    (cache.folder / "data" / "cc").mkdir(parents=True)
    for end in ("npz", "json", "lock"):
        (cache.folder / "data" / "cc" / f"cc4.{end}").write_bytes(b"x" * 100)
    (cache.folder / "models" / "dd" / "dd5").mkdir(parents=True)
    (cache.folder / "models" / "dd" / "dd5" / "weights").write_bytes(b"x" * 500)
    for day, entry in enumerate(sorted(list_entries(cache), key=lambda entry: entry.paths[0].stem)):
        for path in entry.paths:
            os.utime(path, (day * 86400, day * 86400))
    return cache


def left(cache: Cache) -> list[str]:
    return sorted(entry.paths[0].stem for entry in list_entries(cache))


def test_entries_are_files_pairs_and_folders(cache: Cache) -> None:
    sizes = {entry.paths[0].stem: (entry.kind, entry.size) for entry in list_entries(cache)}
    assert sizes["cc4"] == ("data", 200)
    assert sizes["dd5"] == ("models", 500)
    assert [kind for kind, _ in sizes.values()].count("checkpoints") == 3


def test_the_least_recently_used_goes_first_and_reading_is_using(cache: Cache) -> None:
    assert cache.read("checkpoints", "aa1") is not None
    size = sum(entry.size for entry in list_entries(cache))
    done = prune(cache, size - 1)
    assert (done.removed, done.left) == (1, 4)
    assert left(cache) == ["aa1", "bb3", "cc4", "dd5"]
    assert prune(cache, 0).left == 0
    assert left(cache) == []
    assert prune(cache, 0).removed == 0


def test_what_a_process_is_making_is_kept(cache: Cache) -> None:
    with locked(cache.path("checkpoints", "aa2").with_suffix(".lock")):
        assert prune(cache, 0).left == 1
    assert left(cache) == ["aa2"]


def test_nothing_is_removed_while_a_run_uses_the_cache(cache: Cache) -> None:
    with sharing(cache.use_lock), sharing(cache.use_lock), pytest.raises(UserError, match="a run uses the cache"):
        prune(cache, 0)
    assert len(left(cache)) == 5
    assert prune(cache, 0).removed == 5


def test_sizes_are_read_and_written() -> None:
    assert [parse_size(text) for text in ("2GiB", "500 MB", "1.5kib", "7b")] == [2**31, 500_000_000, 1536, 7]
    assert [format_size(size) for size in (7, 1536, 2**31)] == ["7 B", "1.5 KiB", "2.0 GiB"]
    for text in ("", "2", "GiB", "-1 GiB", "1e3 MB"):
        with pytest.raises(ValueError, match="must be a size"):
            parse_size(text)
