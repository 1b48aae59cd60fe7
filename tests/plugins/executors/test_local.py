import importlib
import os
import subprocess
import sys

import pytest

from robench.api import Task
from robench.testing import ExecutorTests
from robench_plugins.executors.isolation.launch import ALLOCATOR, THREAD_VARIABLES
from robench_plugins.executors.local import Local


@pytest.mark.usefixtures("warm_servers")
class TestOneWorker(ExecutorTests):
    executor = Local
    settings = {"workers": 1}


@pytest.mark.usefixtures("warm_servers")
class TestTwoWorkers(ExecutorTests):
    executor = Local
    settings = {"workers": 2}


WORK = """
import os
from robench_plugins.executors.isolation import server

server.PRELOADED = ()  # no task needs torch, whose import takes three seconds

def seen(task, emit):
    emit({"kind": "seen", "environment": dict(os.environ)})
"""


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Returns a function that runs a task and returns the worker's environment.

    The task may use three threads.
    """
    (tmp_path / "work_of_a_test.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)

    def run():
        events = []
        work = importlib.import_module("work_of_a_test").seen
        Local.make(workers=1).run([Task("a", {"threads": 3})], work, events.append)
        return events[0]["environment"]

    return run


def test_workers_know_their_threads_and_keep_freed_memory_and_this_process_is_left_alone(environment, monkeypatch):
    for name in ALLOCATOR:
        monkeypatch.delenv(name, raising=False)
    before = dict(os.environ)
    assert environment().items() >= (dict.fromkeys(THREAD_VARIABLES, "3") | ALLOCATOR).items()
    assert dict(os.environ) == before


def test_what_the_user_says_of_memory_counts(environment, monkeypatch):
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert environment()["MALLOC_TRIM_THRESHOLD_"] == "131072"


def test_a_script_of_its_own_work_still_runs_it(tmp_path):
    """Workers import the script that starts them only if the script defines the work."""
    (tmp_path / "script.py").write_text(
        "from robench.api import Task\n"
        "from robench_plugins.executors.isolation import server\n"
        "from robench_plugins.executors.local import Local\n"
        "server.PRELOADED = ()\n"
        "def work(task, emit):\n"
        "    emit({'kind': 'done', 'task': task.id})\n"
        "if __name__ == '__main__':\n"
        "    Local.make(workers=1).run([Task('a', {})], work, print)\n"
    )
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "{'kind': 'done', 'task': 'a'}\n", done.stderr
