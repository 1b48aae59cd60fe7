"""Tests that only one process at a time writes the tables of a folder."""

import os
import shutil
import threading

import pytest
from tests.run.inline import SMALL, run

from robench.entrance import tables
from robench.files.lock import TABLES_LOCK, open_lock, writing_tables
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.store.folder import Store

SUITE = f"name: t\nseeds: [0]\nmodels: [popularity]\n{SMALL}"


@pytest.fixture
def folder(tmp_path):
    """Returns the results folder of a finished run."""
    (tmp_path / "t.yaml").write_text(SUITE)
    return run(tmp_path / "t.yaml").store.folder


def is_locked(folder):
    """Returns whether the lock for writing the tables of a folder is held."""
    fcntl = pytest.importorskip("fcntl")
    handle = open_lock(folder / TABLES_LOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def test_a_leaderboard_waits_for_the_tables_of_a_run_and_reads_its_cells_then(folder):
    """Without the wait, tables of older cells could replace tables of newer cells."""
    registry, written = Registry.of(Host.discover()), []
    with writing_tables(folder):
        other = threading.Thread(target=lambda: written.append(tables.rebuild_tables(folder, registry)))
        other.start()
        other.join(0.3)
        assert not written
        assert other.is_alive()
        shutil.rmtree(folder / "cells")
    other.join()
    assert written[0].counts["missing"] == 1
    assert not (folder / TABLES_LOCK).exists()


def test_a_run_writes_its_plan_and_its_users_under_the_lock_of_the_tables(folder, monkeypatch):
    held = []
    for method in (Store.begin, Store.write_users):

        def spy(store, *content, method=method):
            held.append(is_locked(store.folder))
            method(store, *content)

        monkeypatch.setattr(Store, method.__name__, spy)
    run(folder.parent / "t.yaml")
    assert held == [True, True]
    assert not is_locked(folder)


def test_without_a_folder_there_is_no_lock(tmp_path):
    with writing_tables(tmp_path / "missing"):
        assert not (tmp_path / "missing").exists()
