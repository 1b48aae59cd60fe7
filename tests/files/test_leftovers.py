"""Temporary files of killed runs are removed once nobody can be writing them."""

import os

from robench.files.atomic import write_text
from robench.files.leftovers import remove_leftovers


def test_only_old_temporary_files_are_removed(tmp_path):
    names = (".a.json.x1.tmp", "cells/.b.npz.y2.tmp", "data/ab/key.4711.npz")
    kept = ("cells/b.npz", "notes.tmp", "data/ab/key.npz", "cells/.c.json.z3.tmp")
    for name in (*names, *kept):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "")
        if name != kept[-1]:  # that one may be at work
            os.utime(path, (0, 0))
    remove_leftovers([tmp_path, tmp_path / "missing"])
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(kept)
