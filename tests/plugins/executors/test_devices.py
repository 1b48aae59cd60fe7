"""Tests how workers are spread over GPUs.

A GPU gets as many workers as fit. No process other than a worker uses a GPU. The tests use made-up GPUs.
"""

import importlib
import subprocess

import pytest
import torch

from robench.api import Task
from robench_plugins.executors import devices
from robench_plugins.executors.devices import free_memory, places, visible_gpus
from robench_plugins.executors.local import Local

GIB = 1 << 30


@pytest.fixture
def gpus(monkeypatch):
    """Returns a function that fakes GPUs with the given free memory, in GiB.

    The test fails if this process creates a CUDA context.
    """

    def context():
        raise AssertionError("a context")

    def make(*free, visible=None):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: len(free) > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(free))
        for name in ("_lazy_init", "init", "mem_get_info"):
            monkeypatch.setattr(torch.cuda, name, context)
        monkeypatch.delenv(devices.VISIBLE, raising=False)
        if visible is not None:
            monkeypatch.setenv(devices.VISIBLE, visible)
        monkeypatch.setattr(devices, "cores", lambda: 16)
        amounts = [str(int(amount * GIB)) for amount in free]
        done = subprocess.CompletedProcess([], 0, "\n".join(amounts), "")
        monkeypatch.setattr(devices.subprocess, "run", lambda *arguments, **options: done)

    return make


def gpus_of(found):
    """Returns the name of each worker's GPU."""
    assert all(place["device"] == "cuda" for place in found)
    return [place["environment"][devices.VISIBLE] for place in found]


@pytest.mark.parametrize(
    ("free", "order"),
    [
        ((24, 24), ["0", "1", "0", "1", "0", "1"]),
        ((40, 9), ["0", "1", "0", "0", "0", "0"]),
        ((3,), ["0"]),
        ((139,), ["0"] * 8),
        ((139, 139, 139), ["0", "1", "2"] * 5 + ["0"]),
    ],
)
def test_as_many_workers_share_a_gpu_as_fit_and_take_turns_over_the_gpus(gpus, free, order):
    gpus(*free)
    assert gpus_of(places("auto", None, 100)) == order


def test_no_more_workers_than_cores_but_every_gpu_has_one(gpus, monkeypatch):
    gpus(139, 139, 139)
    monkeypatch.setattr(devices, "cores", lambda: 2)
    assert gpus_of(places("cuda", None, 100)) == ["0", "1", "2"]


def test_the_number_of_workers_is_the_users_and_memory_is_not_asked(gpus, monkeypatch):
    gpus(3, 3)
    monkeypatch.setattr(devices, "free_memory", lambda: pytest.fail("asked"))
    assert gpus_of(places("cuda", 5, 100)) == ["0", "1", "0", "1", "0"]
    assert gpus_of(places("cuda:1", 2, 100)) == ["1", "1"]
    assert gpus_of(places("cuda", None, 2)) == ["0", "1"]  # every task has its own GPU


def test_a_gpu_is_called_what_the_environment_calls_it(gpus):
    gpus(24, 24, visible=" GPU-1a2b, 5,-1,7")
    assert visible_gpus("cuda") == ["GPU-1a2b", "5"]
    assert visible_gpus("cuda:1") == ["5"]
    assert free_memory() == {"GPU-1a2b": 24 * GIB, "5": 24 * GIB}


def test_without_an_answer_about_memory_a_gpu_has_one_worker(gpus, monkeypatch):
    gpus(139, 139)

    def fails(*arguments, **options):
        raise subprocess.TimeoutExpired("torch", 1)

    monkeypatch.setattr(devices.subprocess, "run", fails)
    assert gpus_of(places("cuda", None, 100)) == ["0", "1"]


def test_a_suite_for_the_cpu_shows_no_gpu_to_its_workers(gpus):
    gpus(24)
    assert places("cpu", None, 100) == [{"environment": {devices.VISIBLE: ""}}] * 16
    assert len(places("cpu", 3, 100)) == 3
    gpus()
    assert places("auto", 2, 100) == [{}, {}]


WORK = """
import os
import time

import robench.run.worker
import torch

asked = []

def _note(name):
    old = getattr(torch.cuda, name)
    def noted(*arguments, **options):
        asked.append(name)
        return old(*arguments, **options)
    setattr(torch.cuda, name, noted)

for name in ("_lazy_init", "init", "device_count", "get_rng_state_all"):
    _note(name)

torch.cuda.is_available = lambda: asked.append("is_available") or True

def seen(task, emit):
    before = list(asked)
    with robench.api.rng.Rng(0).stream():
        pass
    gpu, device = os.environ.get("CUDA_VISIBLE_DEVICES"), task.payload["device"]
    emit({"kind": "begun", "gpu": gpu, "device": device, "server": before, "worker": asked, "at": time.monotonic()})
    time.sleep(0.1)
    emit({"kind": "ended", "gpu": gpu, "at": time.monotonic()})
"""


@pytest.fixture
def run(tmp_path, monkeypatch, warm_servers):
    """Returns a function that runs tasks with the local executor.

    The function returns the events of the tasks.
    """
    (tmp_path / "work_on_a_gpu.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)

    def run(device, count):
        events, module = [], importlib.import_module("work_on_a_gpu")
        tasks = [Task(str(number), {"device": device}) for number in range(count)]
        Local.make().run(tasks, module.seen, events.append)
        return events

    return run


def test_each_worker_sees_one_gpu_and_neither_the_server_nor_a_seed_touches_one(gpus, run):
    gpus(17, 9)
    events = run("auto", 7)
    begun = [event for event in events if event["kind"] == "begun"]
    assert {event["device"] for event in begun} == {"cuda"}
    assert {event["gpu"] for event in begun} == {"0", "1"}
    assert all(event["server"] == [] for event in begun)
    assert not any({"_lazy_init", "init", "get_rng_state_all"} & set(event["worker"]) for event in begun)
    for gpu, most in (("0", 2), ("1", 1)):
        moments = sorted((event["at"], event["kind"] == "begun") for event in events if event["gpu"] == gpu)
        at_once = [sum(1 if starts else -1 for _, starts in moments[: n + 1]) for n in range(len(moments))]
        assert max(at_once) <= most


def test_workers_of_a_suite_for_the_cpu_see_no_gpu(gpus, run):
    gpus(17)
    (begun,) = [event for event in run("cpu", 1) if event["kind"] == "begun"]
    assert (begun["device"], begun["gpu"]) == ("cpu", "")
