"""Tests a second package that offers components under robench's own names.

The package is installed between two runs of a suite.
"""

import csv
import json
import shutil
from pathlib import Path

import pytest

RIVAL = Path(__file__).resolve().parents[1] / "rival.py"
SUITE = """
name: tiny
datasets: [{name: synthetic, users: 80, items: 50, interactions_per_user: 15, min_user_interactions: 5}]
models: [OWNpopularity, {name: mf, factors: 8, epochs: 2}]
defenses: [OWNnone, {name: adversarial-training, lambda: 0.5}]
attacks: [{name: OWNauto, epsilon: 0.1}]
"""


def tables(folder):
    return {name: (folder / name).read_bytes() for name in ("cells.csv", "leaderboard.csv", "leaderboard.md")}


def plugins(folder):
    return {"ROBENCH_PLUGINS": "rival", "PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def runs(robench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    shutil.copy(RIVAL, folder)
    told = []
    for qualifier, environment in (("", {}), ("robench/", plugins(folder))):
        (folder / "tiny.yaml").write_text(SUITE.replace("OWN", qualifier))
        cache = str(folder / "cache")
        done = robench(folder, "run", "tiny.yaml", "--workers", "1", ROBENCH_CACHE=cache, **environment)
        assert done.returncode == 0, done.stderr
        checkpoints = sorted(path.name for path in (folder / "cache" / "checkpoints").rglob("*.safetensors"))
        told.append((tables(folder / "results" / "tiny"), checkpoints))
    return folder, told


def test_nothing_is_measured_or_fitted_again_and_the_tables_stay(runs, robench):
    folder, (before, after) = runs
    assert before == after
    assert before[1]
    planned = robench(folder, "plan", "tiny.yaml", ROBENCH_CACHE=str(folder / "cache"), **plugins(folder))
    assert ", 0 to measure" in planned.stdout, planned.stderr
    (folder / "bare.yaml").write_text(SUITE.replace("OWN", ""))
    refused = robench(folder, "plan", "bare.yaml", **plugins(folder))
    assert "model 'popularity' is offered by robench:builtin and rival:ROBENCH_PLUGINS" in refused.stderr


def test_the_line_of_popularity_and_the_title_of_the_table_stay(runs):
    folder, _ = runs
    out = folder / "results" / "tiny"
    (table,) = json.loads((out / "leaderboard.json").read_text())["tables"]
    assert table["title"] == "auto@3"
    with (out / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["attack_set"] for row in rows} == {"auto@3", ""}
    (line,) = (row for row in rows if row["model_label"] == "popularity" and row["defense_label"] == "none")
    assert (line["model"], line["worst"], line["rank"]) == ("popularity", "", "")


def test_a_foreign_line_or_ensemble_gains_nothing(runs, robench):
    folder, _ = runs
    text = SUITE.replace("OWN", "robench/").replace("name: tiny", "name: other")
    text = text.replace("models: [", "models: [rival/popularity, ").replace("robench/auto", "rival/auto")
    (folder / "other.yaml").write_text(text)
    done = robench(
        folder, "run", "other.yaml", "--workers", "1", ROBENCH_CACHE=str(folder / "cache"), **plugins(folder)
    )
    assert done.returncode == 0, done.stderr
    board = json.loads((folder / "results" / "other" / "leaderboard.json").read_text())
    (table,) = board["tables"]
    assert table["title"] == "custom attack set"
    assert {row["attack_set"] for row in table["rows"]} == {"custom: rival/auto@3", ""}
    assert [row["model"] for row in table["rows"] if row.get("baseline")] == ["popularity"]
    (weak,) = (row for row in board["clean"] if row["model"] == "rival/popularity" and row["defense"] == "none")
    assert "not above popularity" in weak["flags"]
