"""Tests that misbehaving models do not affect built-in victims.

Misbehaving models run before each built-in victim. All tests share two runs.
"""

import json
import sys
from pathlib import Path

import pytest
from tests.forked import robench

TOOLS = Path(__file__).resolve().parents[2] / "tools" / "faults"
BEFORE = (  # a built-in victim follows each group
    ("default-dtype",),
    ("patched-optimiser", "grad-mode", "leaves-a-thread"),
    ("exits-at-once", "interrupts", "surrogate-error", "mute-error", "cell-of-another-victim"),
)
pytestmark = [pytest.mark.command, pytest.mark.skipif(sys.platform != "linux", reason="the plugin is for Linux")]


def records(folder):
    return {
        record["spec"]["victim"]["model"]["config"].get("factors")
        or record["spec"]["victim"]["model"]["name"].rpartition("/")[2]: record
        for record in (json.loads(path.read_text("utf-8")) for path in (folder / "results/t/cells").glob("*.json"))
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Returns two runs: one without and one with the misbehaving models.

    Each run is a pair of the finished command and the run's records.
    """
    found = []
    for bad in (False, True):
        folder = tmp_path_factory.mktemp("runs")
        entries = []
        for number, names in enumerate(BEFORE):
            entries += [f"  - {name}\n" for name in names if bad]
            entries.append(f"  - {{name: mf, factors: {number + 2}, epochs: 1}}\n")
        data = "datasets: [{name: synthetic, users: 40, items: 30, interactions_per_user: 8}]\n"
        (folder / "t.yaml").write_text(f"name: t\n{data}models:\n{''.join(entries)}")
        variables = {"PYTHONPATH": str(TOOLS), "ROBENCH_PLUGINS": "misbehaving", "ROBENCH_CACHE": str(folder / "c")}
        done = robench(folder, "run", "t.yaml", "--workers", "1", **variables)
        found.append((done, records(folder)))
    return found


def test_no_other_victim_notices(runs):
    (_, without), (_, together) = runs
    assert len(without) == len(BEFORE)
    for factors, record in without.items():
        for part in ("status", "metrics", "arrays_sha256", "diagnostics"):
            assert together[factors][part] == record[part], (BEFORE[factors - 2], part)


def test_the_victims_that_cannot_be_measured_fail_alone(runs):
    done, found = runs[1]
    assert done.returncode == 1, done.stderr
    errors = {name: found[name]["error"] for names in BEFORE for name in names if found[name]["status"] == "failed"}
    assert tuple(errors) == BEFORE[-1]
    assert errors["exits-at-once"]["message"] == "the worker ended with exit code 0 before its task was done"
    assert errors["interrupts"]["type"] == "KeyboardInterrupt"
    assert "\\udc80" in errors["surrogate-error"]["message"]
    assert errors["mute-error"]["message"] == "(its text cannot be had: RuntimeError)"
    assert "not one of its open cells" in errors["cell-of-another-victim"]["message"]


def test_a_lost_victim_is_tried_once_more(runs):
    line = "exits-at-once, seed 0: the worker ended with exit code 0 before its task was done; 1 cell left"
    assert runs[1][0].stderr.count(line) == 1
