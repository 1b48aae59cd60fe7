"""Tests that signals end a run as Ctrl-C does.

The tests also check that a run imports no module from the current folder.
"""

import os
import signal
import subprocess
import sys
import time

import pytest

from robench.entrance.signals import TerminatedError, describe_interruption, exit_code, interrupting_signals

SUITE = """name: t
datasets: [{name: synthetic, users: 60, items: 40}]
models: [{name: mf, factors: 4, epochs: 1}, {name: mf, label: long, factors: 8, epochs: 100000, patience: 100000}]
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_is_raised_once_and_then_has_its_own_effect(name):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with pytest.raises(TerminatedError) as error, interrupting_signals():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
    assert exit_code(error.value) == 128 + number
    assert exit_code(KeyboardInterrupt()) == 130


def test_an_ignored_signal_stays_ignored(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupting_signals():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_line_about_an_interruption_has_the_notes_of_its_error():
    error = TerminatedError(signal.SIGTERM)
    assert describe_interruption(error) == "interrupted"
    error.add_note("finished cells are kept")
    assert describe_interruption(error) == "interrupted; finished cells are kept"


@pytest.mark.command
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the handlers of a process are read from /proc")
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("moment", ["robench", "torch"])
def test_an_interruption_before_any_work_is_one_line(name, code, moment, tmp_path):
    """The signal arrives during the first imports, or during the import of torch.

    A fake torch makes the import of torch last long enough.
    """
    (tmp_path / "t.yaml").write_text(SUITE)
    (tmp_path / "path" / "torch").mkdir(parents=True)
    (tmp_path / "path" / "torch" / "__init__.py").write_text("import time\nopen('torch', 'w')\ntime.sleep(60)\n")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path / 'path'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", "robench", "run", "t.yaml"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as run:
        limit = time.monotonic() + 60
        while run.poll() is None and time.monotonic() < limit:
            if (tmp_path / "torch").exists() if moment == "torch" else _catches(run.pid, signal.SIGHUP):
                break
            time.sleep(0.002)
        run.send_signal(getattr(signal, name))
        assert run.stderr.read() == "interrupted\n"
    assert run.returncode == code


@pytest.mark.command
def test_a_terminated_run_says_so_ends_its_workers_and_imports_nothing_from_the_current_folder(tmp_path):
    (tmp_path / "t.yaml").write_text(SUITE)
    for name in ("numpy", "torch", "yaml", "struct", "pluggy"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong module')\n")
    command = [sys.executable, "-m", "robench", "run", "t.yaml", "--workers", "2"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as run:
        cells = tmp_path / "results" / "t" / "cells"
        limit = time.monotonic() + 120
        while not list(cells.glob("*.json")) and run.poll() is None and time.monotonic() < limit:
            time.sleep(0.05)
        below = _below(run.pid)
        assert below
        run.send_signal(signal.SIGTERM)
        text = run.stderr.read()
    assert run.returncode == 143, text
    assert "interrupted; finished cells are kept in results/t, run again to continue" in text
    assert "Traceback" not in text
    limit = time.monotonic() + 5
    while (left := [pid for pid in below if os.path.exists(f"/proc/{pid}")]) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not left


def _catches(pid, number):
    """Returns whether a process has a handler for a signal."""
    try:
        with open(f"/proc/{pid}/status") as file:
            (mask,) = (line.split()[1] for line in file if line.startswith("SigCgt:"))
    except OSError:
        return False
    return bool(int(mask, 16) >> (number - 1) & 1)


def _below(pid):
    """Returns the ids of the descendants of a process.

    Processes that a thread other than the main thread has started are left out.
    """
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [one for child in map(int, file.read().split()) for one in (child, *_below(child))]
    except OSError:
        return []
