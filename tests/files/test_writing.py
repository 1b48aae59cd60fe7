"""Tests full, read-only and failing disks.

An error message of one line names the folder. If only the cache cannot be written, a run continues without it.
"""

import errno
import os

import numpy as np
import pytest
from tests.fakes import EMBEDDING, World, ranks

from robench.api.errors import UserError
from robench.files.cache import Cache, report_trouble
from robench.store.folder import Store

FAULTS = {
    errno.ENOSPC: "No space left on device (finished cells are kept: make room, and run again to continue)",
    errno.EDQUOT: "Disk quota exceeded (finished cells are kept: make room, and run again to continue)",
    errno.EIO: "Input/output error (finished cells are kept: look after the disk, or give another --results)",
    errno.EROFS: "Read-only file system (give another --results)",
    errno.EACCES: "Permission denied (give another --results)",
}


@pytest.fixture(params=FAULTS)
def fault(request, monkeypatch):
    """Returns a function that makes all later writes fail.

    The function returns the ``errno`` of the failure.
    """

    def fail(handle):
        raise OSError(request.param, os.strerror(request.param))

    def plant():
        monkeypatch.setattr(os, "fsync", fail)
        return request.param

    return plant


def test_a_folder_of_results_that_cannot_be_written_is_named_and_keeps_its_cells(fault, tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    cell = world.cell(ranks(150, 99))["cell"]
    world.build()
    record = Store(tmp_path / "w").read(cell)
    number = fault()
    for write in (lambda s: s.begin("", {}), lambda s: s.write_users({}), lambda s: s.write(record, None)):
        with pytest.raises(UserError) as caught:
            write(Store(tmp_path / "w"))
        assert str(caught.value) == f"{tmp_path / 'w'}: cannot be written: {FAULTS[number]}"
    assert Store(tmp_path / "w").measured(cell)["sha256"] == record["sha256"]
    assert not list((tmp_path / "w").rglob("*.tmp"))


def test_what_the_cache_cannot_hold_is_used_and_reported(fault, tmp_path):
    number = fault()
    lines = []
    before = report_trouble.set(lines.append)
    entry = Cache(tmp_path).get("vectors", "ab" * 16, lambda: ({"a": np.arange(3)}, {"n": 1}))
    report_trouble.reset(before)
    assert (entry.arrays["a"].tolist(), entry.notes) == ([0, 1, 2], {"n": 1})
    advice = "make room there, or set ROBENCH_CACHE to another folder"
    problem = f"the cache cannot be written: {os.strerror(number)} ({advice}); results are measured without it"
    assert lines == [f"{tmp_path}: {problem}"]


def test_a_cache_in_which_no_folder_can_be_made_is_done_without(tmp_path):
    (tmp_path / "file").write_text("")
    lines = []
    before = report_trouble.set(lines.append)
    entry = Cache(tmp_path / "file").get("vectors", "ab" * 16, lambda: ({"a": np.arange(3)}, {}))
    report_trouble.reset(before)
    assert entry.arrays["a"].tolist() == [0, 1, 2]
    assert "Not a directory" in lines[-1]
