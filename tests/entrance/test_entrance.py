"""Tests the functions of ``robench``, with a run that a script starts.

The tests cover the frames of the run, the frame of plugins, and the errors for mistakes.
"""

import csv
import inspect
import json
import logging
import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import robench
import robench.run.worker  # importing the package robench.run must not replace the function
from robench.entrance.results import frame_of
from robench.entrance.suite import conditions_of, overrides_of

SUITE = """
name: s
seeds: [0, 1]
datasets: [{name: synthetic, users: 60, items: 40, interactions_per_user: 10}]
models: [popularity, {name: mf, factors: 4, epochs: 2}]
attacks: [{name: fgsm, epsilon: 0.1}, {name: bandwagon, epsilon: 0.1}]
targets: {count: 2, sets: 2}
users: {sample: 30, seed: 1}
"""
SCRIPT = """
import robench

print("a line of the script")
folder = robench.run("s.yaml", workers=2, overrides="seeds=[0, 1]")
print(folder)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Returns the results folder of a script that has called ``robench.run``.

    The script calls the function at its top level.
    """
    place = tmp_path_factory.mktemp("script")
    (place / "s.yaml").write_text(SUITE)
    (place / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "ROBENCH_CACHE": str(place / "cache")}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["a line of the script", os.path.join("results", "s")]
    assert "Traceback" not in done.stderr
    return place / "results" / "s"


@pytest.fixture(scope="module")
def results(folder):
    return robench.load(folder)


def test_importing_robench_imports_neither_torch_nor_pandas():
    code = (
        "import sys, robench\n"
        "robench.UserError, robench.run, robench.load, robench.plugins\n"
        "assert not {'torch', 'pandas', 'numpy', 'scipy'} & set(sys.modules)\n"
        "import robench.run.runner\n"
        "assert robench.run.__name__ == 'run' and robench.run.__module__ == 'robench'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_public_function_is_typed_and_documented():
    assert set(robench.__all__) == {"UserError", "__version__", "compare", "load", "plugins", "run"}
    for function in (robench.run, robench.load, robench.compare, robench.plugins):
        signature = inspect.signature(function)
        assert all(p.annotation is not p.empty for p in signature.parameters.values())
        assert signature.return_annotation is not signature.empty
        assert function.__doc__


@pytest.mark.usefixtures("undrawn")
def test_a_run_of_what_is_stored_measures_nothing_and_says_as_little_as_the_command(
    folder, monkeypatch, capsys, caplog
):
    monkeypatch.chdir(folder.parents[1])
    monkeypatch.setenv("ROBENCH_CACHE", str(folder.parents[1] / "cache"))
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    with caplog.at_level(logging.INFO):
        assert robench.run("s.yaml", only="model=mf") == folder.relative_to(folder.parents[1])
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()} == before
    said = capsys.readouterr()
    assert said.out == ""
    assert "0 cells of 0 victims to measure, 8 stored already" in said.err
    assert not caplog.records  # popularity was not requested, so no line says that fgsm cannot attack popularity


def test_cells_are_those_of_the_csv_file_with_typed_columns(folder, results):
    cells = results.cells
    rows = list(csv.DictReader((folder / "cells.csv").read_text().splitlines()))
    assert list(cells.columns) == list(rows[0])
    assert len(cells) == len(rows)
    for name in cells.columns:
        text = [row[name] for row in rows]
        assert [value == "" for value in text] == cells[name].isna().tolist(), name
        if cells[name].dtype == "float64":
            known = [float(value) for value in text if value]
            assert np.allclose(cells[name].dropna(), known, rtol=1e-9), name
        else:
            assert cells[name].dropna().astype(str).tolist() == [value for value in text if value], name
    kinds = {name: str(dtype) for name, dtype in cells.dtypes.items()}
    assert {name for name, kind in kinds.items() if kind == "Int64"} == {"k", "metric_version", "seed", "target_set"}
    assert {name for name, kind in kinds.items() if kind == "float64"} == {
        *("achieved_epsilon", "epsilon", "lambda", "train_epsilon", "value")
    }
    assert set(kinds.values()) == {"Int64", "float64", "string"}
    assert set(cells["status"]) == {"ok", "skipped"}


def test_the_leaderboard_is_that_of_the_csv_file_with_typed_columns(folder, results):
    board = results.leaderboard
    rows = list(csv.DictReader((folder / "leaderboard.csv").read_text().splitlines()))
    assert list(board.columns) == list(rows[0])
    assert board["model"].tolist() == [row["model"] for row in rows]
    assert np.allclose(board["clean"], [float(row["clean"]) for row in rows], rtol=1e-9)
    kinds = {name: str(dtype) for name, dtype in board.dtypes.items()}
    assert {name for name, kind in kinds.items() if kind == "Int64"} == {
        *("k", "rank", "rank_high", "rank_low", "seeds", "users")
    }
    assert {name for name, kind in kinds.items() if kind == "float64"} == {
        *("best_known", "clean", "clean_high", "clean_low", "drop", "epsilon", "lambda", "p_value", "train_epsilon"),
        *("worst", "worst_high", "worst_low"),
    }


def test_the_data_are_those_of_the_plan_with_typed_columns(folder, results):
    (summary,) = json.loads((folder / "plan.json").read_text())["data"].values()
    (row,) = results.data.to_dict("records")
    assert (row["dataset"], row["split"]) == ("synthetic", "leave-last-out")
    assert [row[name] for name in ("train", "validation", "test")] == summary["parts"]
    assert [row[f"per_user_{name}"] for name in ("min", "25%", "50%", "75%", "max")] == summary["per_user"]
    assert row["with_title"] == summary["described"]["title"] == 40
    without = robench.load("results/article").data
    assert without.empty
    assert (without.dtypes == results.data.dtypes).all()


def test_users_of_a_cell_have_a_row_each(results):
    cells = results.cells
    attacked = cells[(cells["attack"] == "fgsm") & (cells["status"] == "ok") & (cells["metric"] == "ndcg@10")]
    for cell, value in zip(attacked["cell"], attacked["value"], strict=True):
        users = results.users(cell)
        assert len(users) == 30
        assert users["ndcg@10"].mean() == pytest.approx(value)
        first = {"user": "Int64", "user_id": "string", "held_out": "object", "ranks": "object", "top": "object"}
        assert {name: str(users[name].dtype) for name in first} == first
        assert list(users.columns)[5:7] == ["loss", "clean_loss"]
        assert {str(dtype) for dtype in users.dtypes.iloc[5:]} == {"float64"}
        for _, row in users.iterrows():
            assert len(row["held_out"]) == len(row["ranks"]) == 1
            assert len(row["top"]) == 10
            assert (row["held_out"][0] in row["top"]) == (row["ranks"][0] <= 10)
        titles = results.titles(cell)
        assert titles.dtype == "string"
        assert titles.loc[users["top"][0][0]].startswith("Synthetic")


def test_users_of_a_clean_cell_have_metrics_of_targets_and_no_loss(results):
    cells = results.cells
    clean = cells[(cells["model"] == "mf") & (cells["attack"] == "none") & (cells["metric"] == "t-hr@10")]
    users = results.users(clean["cell"].iloc[0])
    assert "loss" not in users
    both = clean[clean["cell"] == clean["cell"].iloc[0]]["value"]
    assert len(both) == 2  # one cell per target set
    assert users["t-hr@10"].mean() == pytest.approx(both.mean())


def test_a_cell_is_named_by_its_first_digits(results):
    cell = results.cells["cell"][0]
    assert_frame_equal(results.users(cell[:8]), results.users(cell))
    with pytest.raises(robench.UserError, match="no cell ''"):
        results.users("")
    with pytest.raises(robench.UserError, match="no cell 'nothing'"):
        results.users("nothing")
    skipped = results.cells[results.cells["status"] == "skipped"]["cell"].iloc[0]
    with pytest.raises(robench.UserError, match="is skipped: it has no users"):
        results.users(skipped)
    assert "cells" in repr(results)


@dataclass(frozen=True)
class Row:
    cell: str
    seed: int | None
    value: float | None


def test_columns_keep_their_dtypes_without_any_row():
    frame = frame_of(Row, [])
    assert {name: str(dtype) for name, dtype in frame.dtypes.items()} == {
        "cell": "string",
        "seed": "Int64",
        "value": "float64",
    }
    frame = frame_of(Row, [Row("", None, None)])
    assert frame.isna().all(axis=None)
    assert frame["cell"][0] is pd.NA
    assert frame["seed"][0] is pd.NA


def test_plugins_are_a_frame():
    plugins = robench.plugins()
    assert list(plugins.columns) == ["kind", "name", "owner"]
    assert {str(dtype) for dtype in plugins.dtypes} == {"string"}
    assert ("model", "mf", "robench:builtin") in set(plugins.itertuples(index=False, name=None))


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: robench.run("nothing.yaml"), "no such file"),
        (lambda: robench.run({"models": ["mf"]}), "a suite is the path of a YAML file, not dict"),
        (lambda: robench.run("s.yaml", workers=0), "at least one worker"),
        (lambda: robench.run("s.yaml", workers="2"), "a whole number is needed, not '2'"),
        (lambda: robench.run("s.yaml", executor="nowhere"), "unknown executor 'nowhere'"),
        (lambda: robench.run("s.yaml", overrides=[1]), "overrides: texts or a mapping are needed, not 1"),
        (lambda: robench.run("s.yaml", overrides=3), "overrides: texts or a mapping are needed, not 3"),
        (lambda: robench.run("s.yaml", overrides={"seeds": {1, 2}}), "overrides: numbers, texts, lists and mappings"),
        (lambda: robench.run("s.yaml", overrides={"models": ["nothing"]}), "unknown model 'nothing'"),
        (lambda: robench.run("s.yaml", overrides={"name": "1"}, only={"model": "mg"}), "mg"),
        (lambda: robench.run("s.yaml", only=["model:mf"]), "a filter is written key=value"),
        (lambda: robench.run("s.yaml", overrides="models=[nothing]"), "unknown model 'nothing'"),
        (lambda: robench.load("nowhere"), "not a folder of results"),
    ],
)
def test_mistakes_are_user_errors(tmp_path, monkeypatch, call, problem):
    (tmp_path / "s.yaml").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(robench.UserError, match=problem):
        call()
    assert not (tmp_path / "results").exists()


def test_a_mapping_is_as_good_as_texts():
    assert overrides_of({"seeds": [0], "name": "1", "models.mf.factors": 8}) == (
        "seeds=[0]",
        'name="1"',
        "models.mf.factors=8",
    )
    assert conditions_of({"model": ["mf", "lstm"], "seed": 0}) == ("model=mf", "model=lstm", "seed=0")


def test_only_public_names_are_listed():
    assert dir(robench) == sorted(robench.__all__)
