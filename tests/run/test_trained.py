"""Tests that a run catches models trained elsewhere that ignore their inputs."""

import csv
import json

import pytest

PLUGIN = """import numpy as np
import torch
from robench.api import hookimpl
from robench.api.models.trained import TrainedModel
from robench.api.models.trained_torch import TrainedTorchModel

TABLE = np.random.default_rng(0).normal(size=(400, 4)).astype(np.float32)
FIRST = {}

class Honest(TrainedModel):
    def load(self, path):
        pass
    def score_histories(self, histories):
        return np.stack([TABLE[:len(self.items.own)] @ TABLE[items].mean(0) for items in histories])

class Deaf(Honest):
    def score_histories(self, histories):
        return np.tile(TABLE[:len(self.items.own), 0], (len(histories), 1))

class Illiterate(Honest):
    surfaces = frozenset({"history", "text"})
    reads_text = True

class OpenDeaf(TrainedTorchModel):
    def load(self, path):
        self.table = torch.nn.Embedding.from_pretrained(torch.from_numpy(TABLE), freeze=False)
    def vectors(self, items):
        return self.table(items)
    def scores_from_vectors(self, vectors, valid):
        return (0 * vectors).sum((1, 2))[:, None] + self.table.weight[:, 0]

@hookimpl
def robench_models():
    return {"honest": Honest, "deaf": Deaf, "illiterate": Illiterate, "open-deaf": OpenDeaf}
"""
SUITE = """name: t
datasets: [{name: synthetic, users: 60, items: 30}]
models:
  - popularity
  - {name: honest, path: weights}
  - {name: deaf, path: weights}
  - {name: illiterate, path: weights}
  - {name: open-deaf, path: weights}
defenses: [none, {name: adversarial-training, lambda: 0.5}, degree-sad]
attacks:
  - {name: random-edit, epsilon: 1}
  - {name: random-rewrite, epsilon: 1}
  - {name: random-noise, norm: l2, epsilon: 0.05}
  - {name: bandwagon, epsilon: 0.05}
exclude: [{model: popularity, defense: [adversarial-training, degree-sad]}]
"""


@pytest.fixture(scope="module")
def done(robench, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "elsewhere.py").write_text(PLUGIN)
    (folder / "t.yaml").write_text(SUITE)
    (folder / "weights").write_text("1")
    places = {"PYTHONPATH": ".", "ROBENCH_PLUGINS": "elsewhere", "ROBENCH_CACHE": str(folder / "c")}
    result = robench(folder, "run", "t.yaml", "--workers", "1", **places)
    assert result.returncode == 0, result.stderr
    return folder, places, result


def test_models_that_ignore_their_inputs_are_flagged_and_have_no_rank(done):
    board = list(csv.DictReader((done[0] / "results/t/leaderboard.csv").read_text().splitlines()))
    flags = {(row["model_label"], row["surface"]): row for row in board if row["model"] != "popularity"}
    assert all("trained elsewhere" in row["flags"] for row in flags.values())
    for label in ("deaf", "open-deaf"):
        row = flags[label, "history"]
        assert "scores ignore the history" in row["flags"]
        assert not row["rank"]
    assert "scores ignore the titles" in flags["illiterate", "text"]["flags"]
    assert "scores ignore the inputs" in flags["open-deaf", "embedding"]["flags"]
    for label in ("honest", "illiterate"):
        assert "ignore" not in flags[label, "history"]["flags"]


def test_what_would_change_the_fit_is_skipped_with_its_reason(done):
    text = done[2].stderr
    assert "honest was trained elsewhere, so bandwagon cannot change its training data" in text
    assert "honest was trained elsewhere, so adversarial-training" in text
    assert "honest was trained elsewhere, so degree-sad does not fit" in text


def test_a_changed_file_makes_the_cells_stale(done, robench):
    folder, places, _ = done
    plan = json.loads((folder / "results/t/plan.json").read_text())
    assert any(cell["model"].endswith("honest") for cell in plan["cells"])
    before = robench(folder, "plan", "t.yaml", **places)
    assert "stale" not in before.stderr
    (folder / "weights").write_text("2")
    after = robench(folder, "plan", "t.yaml", **places)
    assert "stale" in after.stdout + after.stderr
