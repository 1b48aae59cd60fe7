"""Tests victims on a dask cluster.

The tests compare the results with those of a single process. The tests also cover lost workers, released tasks, and
files that a worker lacks.
"""

import hashlib
import importlib
import importlib.util
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.run.inline import SMALL, records, run

from robench.api import Task
from robench.api.errors import UserError
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run.runner import Options, make_runner
from robench.testing import ExecutorTests
from robench_plugins.executors import dask as executors
from robench_plugins.executors import devices
from robench_plugins.executors.dask import Dask
from robench_plugins.executors.isolation.launch import Launcher

if importlib.util.find_spec("distributed") is None:
    pytest.skip("distributed is not installed: pip install 'robench[dask]'", allow_module_level=True)

from distributed import Client, LocalCluster
from distributed.comm import CommClosedError

from robench_plugins.executors.cluster import start, station
from robench_plugins.executors.cluster.mailbox import scheduler_needed
from robench_plugins.executors.cluster.start import hide_abandoned_tasks
from robench_plugins.executors.cluster.versions import collect_versions, find_difference

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="it looks at processes as Linux shows them"),
    pytest.mark.usefixtures("warm_servers"),
]


HERE = str(Path(__file__).parent)


@pytest.fixture(scope="module")
def work():
    """Yields the function ``work`` from a module that other processes can import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        yield importlib.import_module("cluster_work").work


def until(condition, seconds=20):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def ended(pid):
    return not os.path.exists(f"/proc/{pid}")


@pytest.fixture(scope="module")
def cluster():
    """Yields a cluster with two dask workers, which run in the process of the test.

    Each dask worker starts a separate process per victim.
    """
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0", silence_logs=60
    ) as cluster:
        yield cluster


@pytest.fixture
def joined(cluster):
    with Dask.make(scheduler=cluster.scheduler_address) as executor:
        yield executor


class TestJoined(ExecutorTests):
    executor = Dask

    @pytest.fixture(autouse=True)
    def join(self, cluster, monkeypatch):
        monkeypatch.setattr(type(self), "settings", {"scheduler": cluster.scheduler_address})


@pytest.mark.usefixtures("undrawn")
def test_numbers_are_those_of_one_process_although_the_workers_have_another_cache(cluster, tmp_path, monkeypatch):
    suite = tmp_path / "t.yaml"
    suite.write_text(
        f"name: t\n{SMALL}models: [{{name: popularity}}, {{name: mf, epochs: 1, factors: 4}}]\n"
        "attacks: [{name: fgsm, norm: l2, epsilon: 0.05}]\n"
    )
    monkeypatch.setenv("ROBENCH_CACHE", str(tmp_path / "here"))
    expected = run(suite)
    cells = {path.name: path.read_bytes() for path in expected.store.cells.glob("*.npz")}
    monkeypatch.setattr(station, "cache_folder", lambda: tmp_path / "there")
    host = Host.discover()
    address = cluster.scheduler_address
    job = make_runner(suite, host, Registry.of(host), Options(tmp_path / "dask", executor="dask", scheduler=address))
    assert job.run().failures == []
    assert {path.name: path.read_bytes() for path in job.store.cells.glob("*.npz")} == cells
    assert len(cells) == 3
    for label, record in records(job).items():
        assert record["metrics"] == records(expected)[label]["metrics"]
    assert {path.suffix for path in (tmp_path / "there" / "data").rglob("*.*")} >= {".npz", ".json"}
    assert list((tmp_path / "there").rglob("*.safetensors"))
    assert not list((tmp_path / "there").rglob("*.tmp"))


def test_a_worker_gets_the_files_that_it_lacks_or_that_are_damaged(joined, tmp_path, monkeypatch, work):
    here, there = tmp_path / "here", tmp_path / "there"
    files = {}
    for name, text in (("data/lacking", "a" * 50), ("data/damaged", "b" * 50), ("data/kept", "c" * 50)):
        for folder in (here, there):
            (folder / "data").mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        files[name] = hashlib.sha256(text.encode()).hexdigest()
    (there / "data/lacking").unlink()
    (there / "data/damaged").write_text("?")
    (here / "data/kept").unlink()
    monkeypatch.setattr(station, "cache_folder", lambda: there)
    monkeypatch.setattr("robench_plugins.executors.cluster.files.PIECE", 7)
    events = []
    cells = [{"name": name, "read": name} for name in files]
    joined.run([Task("a", {"cells": cells, "cache": str(here), "files": files})], work, events.append)
    assert [event["content"][0] for event in events] == ["a", "b", "c"]
    assert {len(event["content"]) for event in events} == {50}


def test_a_lost_worker_loses_nothing_and_no_finished_cell_is_measured_again(cluster, joined, tmp_path, work):
    cells = [{"name": "first"}, {"name": "second", "wait": str(tmp_path / "go")}, {"name": "third"}]
    events = []

    def emit(event):
        events.append(event)
        if event.get("name") == "first":
            (lost,) = (one for one in cluster.workers.values() if one.state.executing_count)
            cluster.sync(lost.close, executor_wait=False, nanny=False)
        if event["kind"] == "note":
            (tmp_path / "go").touch()

    joined.run([Task("a", {"cells": cells})], work, emit)
    assert [event.get("name", event["kind"]) for event in events] == ["first", "note", "second", "third"]
    assert "its dask worker was lost; it goes on at" in events[1]["text"]
    assert events[0]["pid"] != events[2]["pid"]


def test_an_interrupted_client_ends_its_victims(joined, tmp_path, work):
    pids = []

    def emit(event):
        pids.append(event["pid"])
        raise KeyboardInterrupt

    cells = [{"name": "first"}, {"name": "second", "wait": str(tmp_path / "never")}]
    with pytest.raises(KeyboardInterrupt):
        joined.run([Task("a", {"cells": cells}), Task("b", {"cells": cells})], work, emit)
    until(lambda: all(map(ended, pids)))


CLIENT = """
import sys
from robench.api import Task
from robench_plugins.executors.dask import Dask
from cluster_work import work
cells = [{"name": "first"}, {"name": "second", "wait": "/never"}]
with Dask.make(scheduler=sys.argv[1]) as executor:
    executor.run([Task("a", {"cells": cells})], work, lambda event: print(event["pid"], flush=True))
"""


def test_the_tasks_of_a_dead_client_are_released(cluster, joined, work):
    command = [sys.executable, "-c", CLIENT, cluster.scheduler_address]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([HERE, *filter(None, sys.path)])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as client:
        pid = int(client.stdout.readline())
        client.send_signal(signal.SIGKILL)
    until(lambda: ended(pid))
    until(lambda: not cluster.scheduler.tasks)
    events = []
    joined.run([Task("a", {"cells": [{"name": "first"}]})], work, events.append)
    assert len(events) == 1


def test_a_victim_over_its_limit_fails_alone(joined, work):
    events = []
    tasks = [
        Task("a", {"cells": [{"name": "first", "wait": "/never"}], "limits": {"seconds": 0.2}}),
        Task("b", {"cells": [{"name": "first"}]}),
    ]
    joined.run(tasks, work, events.append)
    lost = next(event for event in events if event["kind"] == "lost")
    assert (lost["task"], lost["again"]) == ("a", False)
    assert "over its limit of 0.2 seconds" in lost["error"]
    assert [event["task"] for event in events if event["kind"] == "cell"] == ["b"]


def test_local_workers_are_processes_with_a_device_each_and_end_with_the_run(monkeypatch, work):
    monkeypatch.setattr(devices, "_names", lambda: ["3", "5"])
    monkeypatch.setattr(devices, "free_memory", dict)
    before, events = dict(os.environ), []
    cells = [{"name": "first"}]
    with Dask.make() as executor:
        executor.run([Task(str(n), {"cells": cells, "device": "auto"}) for n in range(6)], work, events.append)
        assert dict(os.environ) != before  # dask sets variables of its own
        workers = list(executor._client.run(os.getpid).values())
    assert dict(os.environ) == before
    assert {event["device"] for event in events} == {"3", "5"}
    assert len(events) == 6
    assert len(workers) == 2
    until(lambda: all(map(ended, workers)))


def test_what_is_no_scheduler_is_one_line(cluster, monkeypatch):
    monkeypatch.setattr(start, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        wrong = {
            f"tcp://127.0.0.1:{silent.getsockname()[1]}": "TimeoutError",
            "tcp://127.0.0.1:1": "Timed out",
            "nonsense": "missing port number",
            "ftp://host:1": "unknown address scheme 'ftp'",
            next(iter(cluster.scheduler.workers)): "there is a Worker at ",
        }
        for address, words in wrong.items():
            with pytest.raises(UserError, match=r"^--scheduler: ") as error, Dask.make(scheduler=address):
                pass
            assert words in str(error.value)
            assert len(str(error.value).splitlines()) == 1


def test_the_end_of_the_scheduler_is_one_line():
    with (
        pytest.raises(UserError, match=r"^--executor dask: the scheduler of the cluster has ended"),
        scheduler_needed(),
    ):
        raise CommClosedError


def test_other_versions_are_one_line(cluster, monkeypatch):
    monkeypatch.setattr(start, "collect_versions", lambda: {**VERSIONS, "torch": "1.0"})
    monkeypatch.setattr(start, "find_difference", lambda ours, theirs: find_difference(collect_versions(), theirs))
    with pytest.raises(UserError) as error, Dask.make(scheduler=cluster.scheduler_address):
        pass
    mine = VERSIONS["torch"]
    assert str(error.value) == (
        f"--scheduler: the scheduler cannot be used: it has torch 1.0, and this machine {mine} "
        "(install the same versions on every machine of the cluster)"
    )


VERSIONS = collect_versions()


def test_versions_are_those_of_libraries_plugins_and_code():
    assert {"python", "distributed", "numpy", "robench", "torch", "ROBENCH_PLUGINS"} < set(VERSIONS)
    assert "+" not in VERSIONS["torch"]
    assert find_difference(VERSIONS, dict(VERSIONS)) == ""
    assert (
        find_difference(VERSIONS, {**VERSIONS, "code of robench": "x"})
        == "its code of robench differs from the one here"
    )
    assert find_difference(VERSIONS, {**VERSIONS, "scipy": "0"}).startswith("it has scipy 0, and this machine ")


def test_without_distributed_the_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(executors, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^--executor dask: .*pip install 'robench\[dask\]'"), Dask.make():
        pass


def test_a_running_cluster_has_its_own_workers():
    with pytest.raises(UserError, match=r"^--workers: "), Dask.make(workers=2, scheduler="tcp://127.0.0.1:1"):
        pass


def test_the_class_is_imported_without_distributed():
    code = "import sys, robench, robench_plugins.executors.dask; print({'distributed', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_only_abandoned_tasks_of_dask_are_hidden():
    lines = {
        "Task exception was never retrieved\nfuture: <Task coro=<_handle_comm() at /x/distributed/core.py:7>>": False,
        "Task exception was never retrieved\nfuture: <Task coro=<mine() at /x/mine.py:7>>": True,
        "Executing <Handle at /x/distributed/core.py:7> took 1 second": True,
    }
    for text, shown in lines.items():
        record = logging.LogRecord("asyncio", logging.ERROR, "base.py", 1, text, None, None)
        assert hide_abandoned_tasks(record) is shown


def test_a_client_of_an_ended_cluster_does_not_complain():
    passed = []
    hook = station.QuietHook(passed.append)
    for function in (Client.__del__, Launcher.__exit__):
        hook(SimpleNamespace(object=function))
    assert [one.object for one in passed] == [Launcher.__exit__]
