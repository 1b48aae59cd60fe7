"""Tests the removal of temporary files that killed runs have left.

A temporary file is removed once no process can still be writing the file.
"""

import os
import time

import pytest

from robench.files.atomic import replacing, write_text
from robench.files.leftovers import NAMES, remove_leftovers
from robench.files.lock import locked
from robench.report.files import TABLE_FILES
from robench.store.archive import Archive
from robench.store.origin import ORIGIN

CELL, KEY = "0123456789abcdef", "ab" + 15 * "01"


def put(folder, *names, age=3600.0):
    """Creates empty files that were last modified ``age`` seconds ago."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "")
        os.utime(path, (time.time() - age,) * 2)


def left(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_only_old_temporary_files_are_removed(tmp_path):
    put(tmp_path / "r", ".plan.json.abcd_123.tmp", f"cells/.{CELL}.npz.abcd_123.tmp")
    kept = {f"cells/{CELL}.npz", f"cells/.{CELL}.json.abcd_123.tmp"}
    put(tmp_path / "r", *kept, age=0)  # a process may still be writing the second file
    put(tmp_path / "c", f"data/ab/.{KEY}.npz.abcd_123.tmp", f"data/ab/{KEY}.npz.abcd_123.tmp")
    put(tmp_path / "c", f"data/ab/{KEY}.npz")
    remove_leftovers(tmp_path / "r", tmp_path / "c", alone=True)
    assert (left(tmp_path / "r"), left(tmp_path / "c")) == (kept, {f"data/ab/{KEY}.npz"})


@pytest.mark.parametrize("alone", [True, False])
def test_nothing_of_somebody_else_is_removed(tmp_path, alone):
    results = {
        *("analysis/run.2024.npz", "run.2024.npz", ".notes.final.tmp", ".notes.abcd_123.tmp", ".cells.csv.mine.tmp"),
        *("analysis/.plan.json.abcd_123.tmp", "cells/.plan.json.abcd_123.tmp", f".{CELL}.npz.abcd_123.tmp"),
        *(f"cells/more/.{CELL}.npz.abcd_123.tmp", ".index.html.abcd_123.tmp/notes", f"cells/.{CELL}.txt.abcd_123.tmp"),
    }
    cache = {
        *("notes/.final.abcd_123.tmp", "data/ab/run.2024.npz", f"data/ab/{KEY}.4711.npz", f".{KEY}.npz.abcd_123.tmp"),
        *(f"data/cd/.{KEY}.npz.abcd_123.tmp", f"data/ab/more/.{KEY}.npz.abcd_123.tmp", "data/ab/.my.abcd_123.tmp"),
        *(f"data/ab/.{KEY}.npz.abcd_123.tmp/notes", f"data/ab/.{KEY}.abcd_123.tmp"),
    }
    put(tmp_path / "r", *results)
    put(tmp_path / "c", *cache)
    for folder in tmp_path.rglob("*.tmp"):
        os.utime(folder, (0, 0))
    remove_leftovers(tmp_path / "r", tmp_path / "c", alone=alone)
    assert (left(tmp_path / "r"), left(tmp_path / "c")) == (results, cache)


@pytest.mark.parametrize("name", [ORIGIN, "suite.yaml", "plan.json", "users.npz", *TABLE_FILES, *Archive.FILES])
def test_every_file_of_the_results_is_known_under_the_name_that_it_has_while_it_is_written(tmp_path, name):
    assert name in NAMES
    with replacing(tmp_path / name):
        (unfinished,) = tmp_path.iterdir()
    (tmp_path / name).rename(unfinished)
    os.utime(unfinished, (0, 0))
    remove_leftovers(tmp_path, tmp_path / "missing", alone=True)
    assert not left(tmp_path)


def test_the_owner_of_a_folder_removes_whatever_is_unfinished_there(tmp_path):
    write_text(tmp_path / ".plan.json.abcd_123.tmp", "")
    for age, alone, count in ((0, True, 1), (5, False, 1), (5, True, 0)):
        os.utime(tmp_path / ".plan.json.abcd_123.tmp", (time.time() - age,) * 2)
        remove_leftovers(tmp_path, tmp_path / "missing", alone=alone)
        assert len(list(tmp_path.iterdir())) == count, (age, alone)


def test_an_entry_of_the_cache_that_nobody_makes_any_more_leaves_nothing(tmp_path):
    folder, other = tmp_path / "data" / "ab", KEY.replace("0", "2")
    unfinished = [folder / f".{KEY}.abcd_123.tmp", folder / f".{KEY}.safetensors.abcd_123.tmp"]
    unfinished.append(folder / f".{other}.safetensors.abcd_123.tmp")
    put(unfinished[0], "whole", age=5)
    put(folder, *(path.name for path in unfinished[1:]), age=5)
    os.utime(unfinished[0], (time.time() - 5,) * 2)
    with locked(folder / f"{KEY}.lock"):
        remove_leftovers(tmp_path / "missing", tmp_path, alone=True)
        assert all(path.exists() for path in unfinished)
    remove_leftovers(tmp_path / "missing", tmp_path, alone=True)
    assert [path.exists() for path in unfinished] == [False, False, True], "nobody knows the last one's maker"
