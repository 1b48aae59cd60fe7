"""Tests a run in which the disk fails.

The run keeps its finished cells. The run ends if results or prepared data cannot be written, and continues without
checkpoints.
"""

import errno
import os

import pytest
from tests.run.inline import SMALL, run

from robench.api.errors import UserError
from robench.files import cache as cache_file

SUITE = "name: t\nmodels: [popularity, item-knn, {name: mf, factors: 4, epochs: 1}]\n" + SMALL


def failing(part):
    """Returns a substitute for ``os.replace`` that fails on paths with ``part``."""
    genuine = os.replace

    def replace(source, target):
        if part in str(target):
            raise OSError(errno.ENOSPC, "No space left on device")
        genuine(source, target)

    return replace


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "t.yaml").write_text(SUITE)
    return tmp_path / "t.yaml"


def test_a_full_folder_of_results_ends_the_run_and_keeps_its_cells(suite, tmp_path, monkeypatch):
    planned = [cell.id for cell in run(suite).plan.cells]
    cells = tmp_path / "results" / "cells"
    for cell in planned[1:]:
        (cells / f"{cell}.json").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing(f"{planned[2]}.json"))
        with pytest.raises(UserError, match="results: cannot be written: No space left on device"):
            run(suite)
    assert sorted(path.stem for path in cells.glob("*.json")) == sorted(planned[:2])
    assert not list(tmp_path.rglob("*.tmp"))
    assert not (tmp_path / "results" / ".run.lock").exists()
    assert run(suite).summary.measured == 1


def test_a_full_cache_fails_no_victim_and_costs_one_line(suite, monkeypatch, caplog):
    monkeypatch.setattr(os, "replace", failing(os.sep + "checkpoints" + os.sep))
    summary = run(suite).summary
    assert (summary.measured, summary.failures) == (3, [])
    lines = [record.getMessage() for record in caplog.records if "cache cannot be written" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].endswith("results are measured without it")


def test_a_cache_without_room_for_the_data_ends_the_run_before_any_work(suite, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", failing(os.sep + "data" + os.sep))
    with pytest.raises(UserError, match="the cache cannot be written: No space left on device"):
        run(suite)
    assert not (tmp_path / "results").exists()


def test_outside_a_run_a_line_about_the_cache_is_logged_once(tmp_path, caplog):
    for _ in range(2):
        cache_file.report_trouble.get()(f"{tmp_path}: full")
    assert [record.getMessage() for record in caplog.records] == [f"{tmp_path}: full"]
