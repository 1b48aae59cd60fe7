"""Tests the file locks that processes use.

The tests also check that a lock never writes to a file through a link, and never truncates a file.
"""

import errno
import os
import subprocess
import sys
from contextlib import nullcontext

import pytest

from robench.api.errors import UserError
from robench.files import lock
from robench.files.lock import RUN_LOCK, is_free, locked, open_lock, searching_alone, sharing, working_alone

HOLDER = """
import sys, time
from pathlib import Path
from robench.files.lock import working_alone
with working_alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_says_who_is_at_work_and_the_end_of_the_first_frees_the_folder(tmp_path):
    first = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE)
    assert first.stdout.read(4) == b"held"
    with pytest.raises(UserError, match=rf"at work in this folder: process {first.pid} on \S+, since 20") as caught:
        working_alone(tmp_path).__enter__()
    assert str(caught.value).count("\n") == 0
    assert (tmp_path / RUN_LOCK).exists()
    first.kill()
    first.wait()
    first.stdout.close()
    with working_alone(tmp_path) as held:
        assert held
    assert not list(tmp_path.iterdir()), "the lock file goes too"


def test_two_in_one_process_exclude_each_other(tmp_path):
    with working_alone(tmp_path), pytest.raises(UserError, match=f"process {os.getpid()} "):
        working_alone(tmp_path).__enter__()


def test_a_second_search_is_refused_and_the_lock_file_goes_at_the_end(tmp_path):
    with searching_alone(tmp_path / "a.trials.jsonl"):
        with pytest.raises(UserError, match=rf"a\.trials\.jsonl: another search .*: process {os.getpid()} "):
            searching_alone(tmp_path / "a.trials.jsonl").__enter__()
        with searching_alone(tmp_path / "b.trials.jsonl"):
            pass
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError, match="cannot be written"):
        searching_alone(tmp_path / "none" / "a.trials.jsonl").__enter__()


def test_a_folder_that_stays_empty_is_removed_with_those_above_it(tmp_path):
    with working_alone(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / RUN_LOCK).exists()
    assert not list(tmp_path.iterdir())
    with working_alone(tmp_path / "a" / "b"):
        (tmp_path / "a" / "mine").touch()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["mine"]


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_is_neither_followed_nor_written(link, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "results").mkdir()
    link(precious, tmp_path / "results" / RUN_LOCK)
    with pytest.raises(UserError, match="cannot be written"):
        working_alone(tmp_path / "results").__enter__()
    with locked(tmp_path / "results" / RUN_LOCK):
        pass
    assert precious.read_text() == "mine"


def test_a_lock_file_is_never_truncated(tmp_path):
    (tmp_path / "a.lock").write_text("theirs")
    with locked(tmp_path / "a.lock"):
        assert not is_free(tmp_path / "a.lock")
    assert is_free(tmp_path / "a.lock")
    assert (tmp_path / "a.lock").read_text() == "theirs"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        open_lock(tmp_path / "pipe")


def test_a_lock_file_that_was_removed_meanwhile_is_not_held(tmp_path, monkeypatch):
    """The first owner removes the lock file after the second owner has opened it.

    The second owner must then open the lock file again.
    """
    opened = []

    def open_and_remove(path):
        handle = open_lock(path)
        if not opened:
            path.unlink()
        opened.append(path)
        return handle

    monkeypatch.setattr(lock, "open_lock", open_and_remove)
    with working_alone(tmp_path):
        assert len(opened) == 2
        with pytest.raises(UserError, match="at work in this folder"):
            working_alone(tmp_path).__enter__()


def test_without_locks_there_is_none(tmp_path, monkeypatch):
    def refuse(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", refuse)
    with working_alone(tmp_path) as first, working_alone(tmp_path) as second:
        assert not first
        assert not second
    with locked(tmp_path / "x.lock"):
        pass


def test_an_error_of_the_block_is_that_of_the_block(tmp_path):
    with pytest.raises(OSError, match="of the block"), locked(tmp_path / "x.lock"):
        raise OSError("of the block")


@pytest.mark.parametrize(("hold", "shared"), [(locked, False), (sharing, True)])
def test_a_lock_is_held_alone_or_shared(hold, shared, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "a.lock"
    with hold(path), open(path) as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with nullcontext() if shared else pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
