"""Tests the background writer: the order of files, and errors."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from robench.files.background import BackgroundWriter, File, write_batch

pytestmark = pytest.mark.unit


def group(folder: Path, name: str) -> list[File]:
    return [File(folder / f"{name}.npz", b"arrays"), File(folder / f"{name}.json", b"record")]


def test_a_batch_is_on_the_disk_before_any_file_appears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is flushed before the first file is renamed.

    Records appear after all arrays.
    """
    events: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (events.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda old, new: (events.append(Path(new).suffix), replace(old, new)))
    with ThreadPoolExecutor(2) as threads:
        write_batch([tuple(group(tmp_path, name)) for name in "ab"], threads)
    assert events == ["fsync"] * 4 + [".npz"] * 2 + [".json"] * 2 + ["fsync"]  # the last flush is that of the folder
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.npz", "b.json", "b.npz"]


def test_nobody_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer accepts files while the disk is busy.

    Files that arrive in the meantime form one batch.
    """
    free, fsync, replaced = threading.Event(), os.fsync, os.replace
    order: list[str] = []

    def slow(handle: int) -> None:
        free.wait(10)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", slow)
    monkeypatch.setattr(os, "replace", lambda old, new: (order.append(Path(new).name), replaced(old, new)))
    writer = BackgroundWriter()
    for number in range(9):
        writer.put(group(tmp_path, str(number)))
    assert order == []
    free.set()
    writer.close()
    assert len(order) == 18
    assert set(order[:2]) == {"0.npz", "0.json"} or order[0].endswith(".npz")
    assert {name.partition(".")[0] for name in order} == set("012345678")


def test_an_error_reaches_the_caller_and_other_files_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups that were written before the error are kept.

    The next calls of the writer raise the error, and the writer does not hang.
    """
    full = threading.Event()
    fsync = os.fsync

    def failing(handle: int) -> None:
        if full.is_set():
            raise OSError(28, "No space left on device")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", failing)
    writer = BackgroundWriter()
    writer.put(group(tmp_path, "kept"))
    writer.close()
    full.set()
    writer = BackgroundWriter()
    writer.put(group(tmp_path, "lost"))
    while writer._error is None:
        time.sleep(0.001)
    with pytest.raises(OSError, match="No space left"):
        writer.put(group(tmp_path, "late"))
    with pytest.raises(OSError, match="No space left"):
        writer.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.json", "kept.npz"]


def test_of_a_batch_only_the_bad_group_is_lost(tmp_path: Path) -> None:
    """If one group of a batch cannot be written, earlier groups are still written."""
    (tmp_path / "bad.json").mkdir()
    (tmp_path / "bad.json" / "somebody's").touch()
    writer = BackgroundWriter()
    with ThreadPoolExecutor(2) as threads:
        writer._write([tuple(group(tmp_path, name)) for name in ("good", "bad")], threads)
    with pytest.raises(Exception, match="a folder, where a file belongs"):
        writer.close()
    assert (tmp_path / "good.json").read_bytes() == b"record"
    assert not list(tmp_path.glob(".*"))
