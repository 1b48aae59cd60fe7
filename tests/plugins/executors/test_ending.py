"""Tests the reported causes of a worker's end.

The reports quote the system and never guess a cause.
"""

import pytest

from robench.files.sizes import parse_size
from robench_plugins.executors.isolation import ending
from robench_plugins.executors.isolation.ending import MemoryKills, describe_exit
from robench_plugins.executors.isolation.limits import Limits


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (0, "the worker ended with exit code 0 before its task was done"),
        (-9, "the worker was killed by SIGKILL"),
        (-11, "the worker was killed by SIGSEGV"),
        (-40, "the worker was killed by signal 40"),
    ],
)
def test_exit_codes_and_signals_have_their_names(code, text):
    assert describe_exit(code) == text


def test_memory_is_named_only_if_the_kernel_has_counted_or_said_it(monkeypatch, tmp_path):
    monkeypatch.setattr(ending, "CGROUPS", tmp_path)
    monkeypatch.setattr(ending, "KERNEL_LOG", tmp_path / "kmsg")
    for name in ("memory", ""):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "memory.events").write_text("oom 3\noom_kill 1\n")
    kills = MemoryKills()
    assert kills.describe(4711) == ""
    for name in ("memory", ""):
        (tmp_path / name / "memory.events").write_text("oom 4\noom_kill 2\n")
    assert kills.describe(4711) == "; out of memory: the kernel's oom_kill counter of this control group rose by 1"


def test_the_words_of_the_kernel_are_those_about_this_process(monkeypatch):
    line = "Out of memory: Killed process 4711 (python) total-vm:9kB"
    found = {47: "", 4711: f"; the kernel says: {line}"}
    monkeypatch.setattr(ending, "_kernel_line", lambda pid: line if pid == 4711 else "")
    assert {pid: MemoryKills().describe(pid) for pid in found} == found


def test_a_limit_says_what_was_allowed_what_was_used_and_what_to_change():
    limits = Limits(seconds=60, memory=4 << 30)
    assert limits.problem(59.9, 4 << 30) == ""
    assert limits.problem(61, 0) == (
        "over its limit of 60 seconds: stopped after 61.0 s; raise limits.seconds, or make the victim cheaper"
    )
    assert limits.problem(0, 5 << 30).startswith("over its limit of 4 GiB of memory: used 5 GiB; raise limits.memory")


@pytest.mark.parametrize(
    "text", ["100 MB", "95.37 MiB", "4 GiB", "1.5 GB", "1.5 KiB", "500 kB", "7 bytes", "123457 bytes", "2 TiB"]
)
def test_a_limit_is_shown_in_the_unit_of_the_user(text):
    limit = parse_size(text.replace("bytes", "B"))
    exact = text if text != "95.37 MiB" else f"{limit} bytes"
    assert Limits(memory=limit).problem(0, limit + 1).startswith(f"over its limit of {exact} of memory: used ")
    assert Limits(memory=10**8).problem(0, 123_456_789).startswith("over its limit of 100 MB of memory: used 123.5 MB;")
