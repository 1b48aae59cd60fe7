"""Tests tasks that run in processes of their own.

The tests cover traces that a task leaves, limits, silence, the end of a task, and events.
"""

import ctypes
import faulthandler
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from robench.api import Task
from robench_plugins.executors.isolation import heartbeat, launch, process
from robench_plugins.executors.isolation.frames import HEADER, MAGIC, to_frame
from robench_plugins.executors.isolation.launch import Launcher

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no fork server")
STATE = {"changed": False}


def changes_state():
    STATE["changed"] = True
    os.environ["CHANGED"] = "1"
    os.chdir("/")


def leaves_processes():
    threading.Thread(target=time.sleep, args=(600,)).start()
    leave_child(lambda: os.execvp("sleep", ["sleep", "602.75"]))
    while not running("602.75"):
        time.sleep(0.01)


def fills():
    kept = []
    while True:
        kept.append(b"x" * (20 << 20))
        time.sleep(0.02)


def leave_child(do):
    """Runs a function in a detached process, in a session of its own."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            do()
        os._exit(0)


def kills_keeper():
    leave_child(lambda: os.execvp("sleep", ["sleep", "601.25"]))
    while not running("601.25"):
        time.sleep(0.01)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def stops_keeper_again():
    keeper = os.getppid()

    def stop():
        while True:
            os.kill(keeper, signal.SIGSTOP)
            time.sleep(0.01)

    leave_child(stop)
    time.sleep(60)


def stops_server():
    with open(f"/proc/{os.getppid()}/stat") as file:
        os.kill(int(file.read().rpartition(")")[2].split()[1]), signal.SIGSTOP)


def running(argument):
    """Returns whether any process has the given argument in its command line."""
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline") as file:
                if argument in file.read().split("\0"):
                    return True
        except OSError:
            continue
    return False


def sends(content):
    for name in os.listdir("/proc/self/fd"):
        try:
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                os.write(int(name), content)
        except OSError:
            continue


def computes():
    limit = time.monotonic() + 1
    while time.monotonic() < limit:
        sum(range(1000))


def waits():
    threading.Thread(target=computes, daemon=True).start()  # this thread proves nothing about the main thread
    threading.Event().wait(2)


def crashes():
    faulthandler.disable()  # pytest's handler would print the stack among the results of the tests
    ctypes.string_at(0)


DEEDS = {
    "computes": computes,
    "waits": waits,
    "nothing": lambda: None,
    "changes state": changes_state,
    "leaves processes": leaves_processes,
    "exits with 0": lambda: os._exit(0),
    "is killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "crashes": crashes,
    "sleeps": lambda: ctypes.PyDLL(None).sleep(600),  # the call holds the interpreter's lock
    "fills memory": fills,
    "stops": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "stops keeper": lambda: os.kill(os.getppid(), signal.SIGSTOP),
    "stops keeper again": stops_keeper_again,
    "kills keeper": kills_keeper,
    "stops server": stops_server,
    "sends much": lambda: sends(HEADER.pack(MAGIC, 3 << 30)),
    "sends garbage": lambda: sends(b"nonsense" * 9),
    "sends code": lambda: sends(to_frame(threading.Thread)),
    "sends another's": lambda: sends(to_frame({"kind": "cell", "task": "other"})),
    "sends an array": lambda: sends(to_frame(np.zeros(3))),
    "names an array": lambda: sends(to_frame({"kind": "note", "task": np.zeros(3), "text": "x"})),
    "closes files": lambda: os.closerange(0, 256),
}


def work(task, emit):
    """Emits the traces of earlier tasks, and then performs the deed of the task.

    Another event follows if the task is still alive after the deed.
    """
    emit(
        {"kind": "before", "state": [STATE["changed"], "CHANGED" in os.environ, os.getcwd() == "/"], "pid": os.getpid()}
    )
    if task.payload.get("progress"):
        emit({"kind": "progress", "phase": "fit", "done": 3, "total": 20})
    DEEDS[task.payload["do"]]()
    emit({"kind": "after", "array": np.arange(task.payload.get("length", 1))})


@pytest.fixture(scope="module")
def launcher():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Launcher, "context", multiprocessing.get_context("fork"))
        patch.setattr(heartbeat, "INTERVAL", 0.05)  # takes effect only before the fork server starts
        patch.setattr(process, "LOOK", 0.05)
        patch.setattr(launch, "TURN", 0.1)
        with Launcher(work, 1) as launcher:
            yield launcher


@pytest.fixture
def run(launcher):
    """Returns a function that runs tasks and returns the events of each deed."""

    def run(*deeds, workers=1, **payload):
        events = []
        launcher.run(
            [Task(f"{n} {deed}", {"do": deed, **payload}) for n, deed in enumerate(deeds)], workers, events.append
        )
        found = {}
        for event in events:
            found.setdefault(event["task"].partition(" ")[2], []).append(event)
        return found

    return run


def error(events):
    """Returns the error of a lost task, and whether a second try makes sense."""
    assert events[-1]["kind"] == "lost"
    return events[-1]["error"], events[-1]["again"]


def test_the_fork_server_keeps_no_socket_of_its_first_task(monkeypatch):
    """No other process may hold copies of a task's sockets.

    The host sees the end of a task when its sockets close, and an open copy prevents this.
    """
    monkeypatch.setattr(Launcher, "context", multiprocessing.get_context("fork"))
    events = []
    with Launcher(work, 1) as launcher:
        launcher.run([Task("first", {"do": "sends garbage"})], 1, events.append)
    assert error(events)[0].endswith("bytes to its pipe that are not a message")


def test_a_task_leaves_nothing_to_the_next(run):
    found = run("changes state", "nothing")
    assert [event["state"] for name in found for event in found[name][:1]] == [[False] * 3] * 2
    assert found["changes state"][0]["pid"] != found["nothing"][0]["pid"]
    assert not STATE["changed"]


@pytest.mark.usefixtures("in_time")
def test_threads_and_detached_processes_end_with_their_task(run):
    found = run("leaves processes")
    assert [event["kind"] for event in found["leaves processes"]] == ["before", "after"]
    assert not running("602.75")


def test_the_end_of_a_worker_is_told_as_it_was(run):
    found = run("exits with 0", "is killed", "crashes", "nothing")
    assert error(found["exits with 0"]) == ("the worker ended with exit code 0 before its task was done", True)
    assert error(found["is killed"])[0].startswith("the worker was killed by SIGKILL")
    assert error(found["crashes"]) == ("the worker was killed by SIGSEGV", True)
    assert found["nothing"][-1]["kind"] == "after"


def test_limits_end_a_task_that_holds_the_lock_or_fills_the_memory(run):
    text, again = error(run("sleeps", limits={"seconds": 0.3})["sleeps"])
    assert text.startswith("over its limit of 0.3 seconds: stopped after 0.")
    assert not again
    text, again = error(run("fills memory", limits={"memory": 1500 << 20})["fills memory"])
    assert text.startswith("over its limit of 1500 MiB of memory: used 1")
    assert "raise limits.memory" in text
    assert not again


def test_a_stopped_worker_is_reported_and_goes_on(run, monkeypatch):
    monkeypatch.setattr(process, "SILENCE", 0.2)
    found = run("stops", limits={"seconds": 3})["stops"]
    notes = [event["text"] for event in found if event["kind"] == "note"]
    assert any("is stopped; kill -CONT" in note for note in notes)


@pytest.mark.parametrize(
    ("deed", "silent"),
    [("computes", False), ("waits", True), ("sleeps", True)],
)
def test_only_a_task_that_executes_nothing_is_silent(run, monkeypatch, deed, silent):
    run("nothing")  # starts the fork server, which takes time
    monkeypatch.setattr(process, "SILENCE", 0.4)
    monkeypatch.setattr(process, "LONG", 0.6)
    found = run(deed, limits={"seconds": 2.4})[deed]
    notes = [event["text"] for event in found if event["kind"] == "note"]
    assert len(notes) == 1
    assert notes[0].startswith("silent for " if silent else "still at work, 0 min after its start")
    assert not [event for event in found if event["kind"] not in ("before", "after", "note", "lost")]


def test_a_long_task_is_mentioned_with_its_last_progress(run, monkeypatch):
    run("nothing")
    monkeypatch.setattr(process, "LONG", 0.2)
    (note,) = [event["text"] for event in run("computes", progress=True)["computes"] if event["kind"] == "note"]
    assert note == "still at work, 0 min after fit 3 of 20"


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("sends garbage", "bytes to its pipe that are not a message"),
        ("sends code", "threading.Thread, which is not plain data"),
        ("sends another's", "an event of another task"),
        ("sends an array", "a message that is not an event"),
        ("names an array", "an event of another task"),
    ],
)
def test_what_is_no_event_of_its_own_task_is_refused(run, deed, reason):
    found = run(deed, "nothing", workers=2)
    text, again = error(found[deed])
    assert reason in text
    assert not again
    assert found["nothing"][-1]["kind"] == "after"


@pytest.fixture
def in_time():
    """Fails a test that takes longer than 30 seconds."""

    def fail(number, frame):
        raise TimeoutError("the tasks do not end")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("in_time")
def test_a_keeper_that_its_worker_stops_is_continued(run):
    found = run("stops keeper", "nothing")
    assert [events[-1]["kind"] for events in found.values()] == ["after", "after"]


@pytest.mark.usefixtures("in_time")
def test_a_keeper_that_is_stopped_again_and_again_ends_with_its_worker(run):
    found = run("stops keeper again", "nothing")
    assert error(found["stops keeper again"]) == (
        "the worker was ended: its keeper was stopped by a signal again and again",
        False,
    )
    assert found["nothing"][-1]["kind"] == "after"


def test_what_a_worker_has_started_ends_after_it_has_killed_its_keeper(run):
    found = run("kills keeper")
    assert error(found["kills keeper"])[0] == process.VANISHED
    limit = time.monotonic() + 5
    while running("601.25") and time.monotonic() < limit:
        time.sleep(0.05)
    assert not running("601.25")


@pytest.mark.usefixtures("in_time")
def test_a_fork_server_that_a_worker_stops_is_continued(run):
    found = run("stops server", "nothing")
    assert found["nothing"][-1]["kind"] == "after"


def test_a_message_beyond_the_bound_of_its_task_is_refused_before_it_is_read(run):
    found = run("sends much", "nothing", workers=2, largest=1 << 20)
    assert error(found["sends much"]) == (
        "the worker was ended: it sent a message of 3072 MiB, "
        "more than 1 MiB, the most that an event of its task can have",
        False,
    )
    assert found["nothing"][-1]["kind"] == "after"


def test_a_large_event_arrives_whole(run):
    found = run("nothing", length=5_000_000)
    assert found["nothing"][-1]["array"].sum() == 12_499_997_500_000


def test_a_worker_that_closes_its_files_fails_alone(run):
    found = run("closes files", "nothing")
    assert error(found["closes files"])[0] == "the worker ended with exit code 1 before its task was done"
    assert found["nothing"][-1]["kind"] == "after"


SCRIPT = """
import ctypes, os, subprocess, sys
from robench.api import Task
from robench_plugins.executors.isolation import server
from robench_plugins.executors.isolation.launch import Launcher

server.PRELOADED = ()  # the task does not need torch, whose import takes three seconds

def work(task, emit):
    child = subprocess.Popen(["sleep", "600"], start_new_session=sys.argv[1] == "fork")
    emit({"kind": "pids", "pids": [os.getpid(), os.getppid(), child.pid]})
    if task.payload["hang"]:
        ctypes.PyDLL(None).sleep(600)

if __name__ == "__main__":
    with Launcher(work, 1, forks=sys.argv[1] == "fork") as launcher:
        launcher.run([Task("a", {"hang": sys.argv[2] == "hang"})], 1, lambda event: print(event, flush=True))
"""


def test_the_death_of_the_executor_ends_its_workers_and_what_they_started(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py", "fork", "hang"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as parent:
        pids = eval(parent.stdout.readline())["pids"]
        parent.kill()
    limit = time.monotonic() + 5
    while (left := [pid for pid in pids if os.path.exists(f"/proc/{pid}")]) and time.monotonic() < limit:
        time.sleep(0.02)
    assert not left


def test_elsewhere_a_worker_is_spawned(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py", "spawn", "go on"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    (line,) = done.stdout.splitlines()
    assert eval(line)["task"] == "a"
    assert not done.stderr
