"""Tests the removal of temporary files of killed runs.

A file is removed once no process can be writing to the file.
"""

import os
import time

from robench.files.atomic import write_text
from robench.files.leftovers import remove_leftovers
from robench.files.lock import locked


def test_only_old_temporary_files_are_removed(tmp_path):
    names = (".a.json.x1.tmp", "cells/.b.npz.y2.tmp", "data/ab/key.4711.npz")
    kept = ("cells/b.npz", "notes.tmp", "data/ab/key.npz", "cells/.c.json.z3.tmp")
    for name in (*names, *kept):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "")
        if name != kept[-1]:  # a process may still be writing this file
            os.utime(path, (0, 0))
    remove_leftovers(tmp_path / "missing", tmp_path, alone=True)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(kept)


def test_the_owner_of_a_folder_removes_whatever_is_unfinished_there(tmp_path):
    write_text(tmp_path / ".plan.json.x.tmp", "")
    for age, alone, left in ((0, True, 1), (5, False, 1), (5, True, 0)):
        os.utime(tmp_path / ".plan.json.x.tmp", (time.time() - age,) * 2)
        remove_leftovers(tmp_path, tmp_path / "missing", alone=alone)
        assert len(list(tmp_path.iterdir())) == left, (age, alone)


def test_an_entry_of_the_cache_that_nobody_makes_any_more_leaves_nothing(tmp_path):
    folder = tmp_path / "data" / "ab"
    (folder / ".key.x.tmp").mkdir(parents=True)
    unfinished = [folder / ".key.x.tmp", folder / ".key.safetensors.y.tmp", folder / ".other.safetensors.z.tmp"]
    for path in unfinished[1:]:
        write_text(path, "")
    write_text(unfinished[0] / "whole", "")
    for path in unfinished:
        os.utime(path, (time.time() - 5,) * 2)
    with locked(folder / "key.lock"):
        remove_leftovers(tmp_path / "missing", tmp_path, alone=True)
        assert all(path.exists() for path in unfinished)
    remove_leftovers(tmp_path / "missing", tmp_path, alone=True)
    assert [path.exists() for path in unfinished] == [False, False, True], "nobody knows the last one's maker"
