"""Tests the hooks that follow a run, with good plugins and broken ones."""

import csv
import inspect
import json

import pytest

from robench.api import hooks
from robench.host.registry import KINDS

SUITE = """name: t
datasets: [{name: synthetic, users: 60, items: 40}]
models: [popularity, {name: mf, factors: 8, epochs: 2}]
attacks: [{name: fgsm, norm: l2, epsilon: 0.1}]
"""
FOLLOWING = {name for name in dir(hooks) if name.startswith("robench_")} - {hook for hook, _ in KINDS.values()}
LISTENER = "import json\nfrom robench.api import hookimpl\n" + "".join(
    "@hookimpl\n"
    f"def {name}({', '.join(inspect.signature(getattr(hooks, name)).parameters)}):\n"
    f"    line = json.dumps(['{name}', locals()], default=str)\n"
    f"    with open('calls.jsonl', 'a') as file:\n"
    f"        print(line, file=file)\n"
    for name in sorted(FOLLOWING)
)
BROKEN = """import sys
from robench.api import hookimpl
@hookimpl(tryfirst=True)
def robench_cell_finished(record):
    record.clear()
    raise RuntimeError('no luck')
@hookimpl(tryfirst=True)
def robench_suite_started(suite):
    sys.exit(3)
"""


@pytest.fixture(scope="module")
def done(robench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lifecycle")
    (folder / "listener.py").write_text(LISTENER)
    (folder / "broken_report.py").write_text(BROKEN)
    (folder / "t.yaml").write_text(SUITE)
    environment = {"PYTHONPATH": ".", "ROBENCH_PLUGINS": "listener,broken_report", "ROBENCH_CACHE": str(folder / "c")}
    result = robench(folder, "run", "t.yaml", "--workers", "1", **environment)
    assert result.returncode == 0, result.stderr
    return folder, result


@pytest.fixture(scope="module")
def calls(done):
    folder, _ = done
    return [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]


def test_every_hook_is_called_in_the_order_of_a_run(calls):
    names = [name for name, _ in calls]
    assert set(names) == FOLLOWING
    assert names[:2] == ["robench_data_read", "robench_suite_started"]
    assert names[-1] == "robench_suite_finished"


def test_the_arguments_are_those_of_the_run(calls):
    called = dict(calls)
    assert called["robench_data_read"]["data"] == "synthetic"
    nothing_known = "TimeLeft(seconds=0.0, unknown=2)"
    assert called["robench_suite_started"] == {
        "suite": "t",
        "victims": 2,
        "cells": 3,
        "stored": 0,
        "time_left": nothing_known,
    }
    ended = called["robench_suite_finished"]
    assert (ended["ok"], ended["failed"], ended["skipped"]) == (3, 0, 1)
    progress = [arguments for name, arguments in calls if name == "robench_victim_progress"]
    assert {(one["phase"], one["total"]) for one in progress if "mf" in one["label"]} == {("fit", 2), ("measure", 2)}


def test_each_finished_cell_comes_with_the_record_that_is_stored(calls, done):
    folder, _ = done
    records = [arguments["record"] for name, arguments in calls if name == "robench_cell_finished"]
    assert len(records) == 3
    for record in records:
        stored = json.loads((folder / "results" / "t" / "cells" / f"{record['id']}.json").read_text())
        assert record["metrics"] == stored["metrics"]


def test_a_failing_report_is_one_warning_per_failure_and_costs_nothing(done):
    folder, result = done
    lines = [line for line in result.stderr.splitlines() if "broken_report" in line]
    assert [line.partition(" (")[0] for line in lines] == [
        "robench_suite_started of plugin broken_report:ROBENCH_PLUGINS failed: SystemExit: 3",
        "robench_cell_finished of plugin broken_report:ROBENCH_PLUGINS failed: RuntimeError: no luck",
    ]
    assert all("broken_report.py:" in line for line in lines)
    assert "Traceback" not in result.stderr
    rows = list(csv.DictReader((folder / "results/t/cells.csv").read_text().splitlines()))
    assert {row["status"] for row in rows} == {"ok", "skipped"}
