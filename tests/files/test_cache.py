"""Tests cache entries that are damaged, foreign or edited.

Such an entry is deleted and made again, and one line of output says so.
"""

import json
import logging
import os
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from robench.files.cache import Cache
from robench.pretrained.cache import cached_array, cached_array_path, cached_folder

ARRAYS, NOTES = {"a": np.arange(6.0), "b": np.ones((2, 3), np.float32)}, {"epochs": 3}
KEY, OTHER = "a" * 32, "b" * 32


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


def swapped(path):
    cache = Cache(path.parents[2])
    cache.write("checkpoints", OTHER, {**ARRAYS, "a": np.zeros(6)}, NOTES)
    shutil.copy(cache.path("checkpoints", OTHER), path)


def edited(path):
    save_file({**load_file(path), "a": np.zeros(6)}, path, {"notes": json.dumps(NOTES)})


def a_folder(path):
    path.unlink()
    path.mkdir()


def a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def a_loop(path):
    path.unlink()
    path.symlink_to(path.name)


DAMAGES = {
    "flipped": flipped,
    "swapped": swapped,
    "edited": edited,
    "a folder": a_folder,
    "a pipe": a_pipe,
    "a loop": a_loop,
    "empty": lambda path: path.write_bytes(b""),
    "half": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "other": lambda path: path.write_bytes(b"name: suite" * 100),
    "notes": lambda path: path.write_bytes(path.read_bytes().replace(b"epochs", b"Epochs")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_bad_entry_is_dropped_with_a_line_and_made_again(tmp_path, caplog, damage):
    cache, calls = Cache(tmp_path), []

    def make():
        calls.append(1)
        return ARRAYS, NOTES

    cache.get("checkpoints", KEY, make)
    assert cache.read("checkpoints", KEY) is not None
    damage(cache.path("checkpoints", KEY))
    assert cache.read("checkpoints", KEY) is None
    for _ in range(2):
        arrays, notes = cache.get("checkpoints", KEY, make)
        assert notes == NOTES
        assert all(np.array_equal(arrays[name], part) for name, part in ARRAYS.items())
    assert len(calls) == 2
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert line.startswith(f"{cache.path('checkpoints', KEY)}: ")
    assert line.endswith("; it is made again")
    assert "\n" not in line


def test_an_array_of_a_plugin_is_checked_too():
    first = cached_array("vectors", "x", lambda: np.ones(3, np.float32))
    flipped(cached_array_path("vectors", "x"))
    assert np.array_equal(cached_array("vectors", "x", lambda: np.ones(3, np.float32)), first)


@pytest.mark.parametrize(
    "damage", [flipped, lambda path: path.unlink(), lambda path: path.with_name("z").write_text("")]
)
def test_a_folder_of_a_plugin_is_checked_too(caplog, damage):
    def fill(folder):
        (folder / "weights").write_text("weights")

    folder = cached_folder("things", "x", fill)
    damage(folder / "weights")
    assert cached_folder("things", "x", fill) == folder
    assert [path.name for path in folder.iterdir()] == ["weights"]
    assert (folder / "weights").read_text() == "weights"
    assert [record.getMessage().endswith("; it is made again") for record in caplog.records] == [True]
