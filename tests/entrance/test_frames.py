"""Tests ``robench.run`` with data sets in memory."""

import json

import numpy as np
import pandas as pd
import pytest

import robench
from robench.entrance.frames import check_used, with_frames
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run.preview import make_preview
from robench.spec import Part

SUITE = """name: s
datasets: [{name: mine, min_user_interactions: 2}]
models: [popularity]
metrics: [ndcg@10]
"""


@pytest.fixture
def log():
    draws = np.random.default_rng(0)
    rows = [(user, item, time) for user in range(30) for time, item in enumerate(draws.permutation(20)[:8].tolist())]
    return pd.DataFrame(rows, columns=["user", "item", "time"])


@pytest.mark.usefixtures("warm_servers", "undrawn")
def test_a_frame_is_a_data_set_in_the_processes_of_victims(tmp_path, monkeypatch, log):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(SUITE)
    folder = robench.run("s.yaml", datasets={"mine": log}, workers=1)
    results = robench.load(folder)
    assert results.cells["status"].tolist() == ["ok"]
    assert results.data[["dataset", "interactions", "test"]].to_numpy().tolist() == [["mine", 240, 30]]
    (cell,) = json.loads((folder / "plan.json").read_text())["cells"]
    # A plan from the stored suite finds the same cell, and says in one line that the frame is missing.
    registry = Registry.of(Host.discover())
    preview = make_preview(folder / "suite.yaml", registry, folder, (), ())
    assert preview.refusals == [
        f"{folder / 'suite.yaml'}:8: datasets[0]: mine: the data set 'mine' comes from Python, and is in no file "
        "(robench.run(SUITE, datasets={'mine': frame}) gives it)"
    ]
    with pytest.raises(robench.UserError, match=r"unknown dataset 'mine' \(a frame from Python is given by robench"):
        robench.run("s.yaml")
    with pytest.raises(robench.UserError, match=r"unknown dataset 'mine' \(did you mean 'mime'\? known: .*mime"):
        robench.run("s.yaml", datasets={"mime": log})
    # A changed frame counts as other data, but the cell keeps its id.
    again = make_preview(tmp_path / "s.yaml", with_frames(registry, {"mine": log}), None, (), ())
    assert (again.rows[0].stored, again.refusals) == (1, [])
    changed = make_preview(tmp_path / "s.yaml", with_frames(registry, {"mine": log.iloc[:-1]}), None, (), ())
    assert changed.rows[0].stored == 0
    assert any("measured on different data: 1 stored cell" in line for line in changed.notes)
    assert cell["cell"] == results.cells["cell"][0]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"csv": None}, "'csv' is a data set of a plugin"),
        ({3: None}, "a name is text, not 3"),
        ([], "a mapping from names to frames is needed"),
    ],
)
def test_wrong_names_are_one_line(given, problem):
    with pytest.raises(robench.UserError, match=problem):
        with_frames(Registry.of(Host.discover()), given)


def test_a_frame_that_the_suite_does_not_name_is_refused():
    parts = [Part("frame", {"data": "mine"}, "mine"), Part("csv", {"path": "x"}, "csv")]
    check_used(["mine"], parts)
    with pytest.raises(robench.UserError, match="the suite names no data set 'mien'"):
        check_used(["mine", "mien"], parts)
