"""Tests likes and dislikes from the command to the tables.

Each victim has one calibration. The pairs of a liked and a disliked item are the same for all victims.
"""

import csv
import json
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from robench.api.data import joined
from robench.engine.calibration import draw_test_negatives
from robench.engine.data.prepared import Prepared
from robench.report.numbers import format_interval
from robench.tables.stats import Interval, compute_interval

METRICS = ("accuracy", "like-precision", "like-recall", "like-f1")
SUITE = """
name: liked
seeds: [0, 1]
datasets: [{name: synthetic, users: 60, items: 40, interactions_per_user: 12, min_user_interactions: 5}]
models:
  - {name: popularity}
  - {name: content}
  - {name: mf, factors: 8, epochs: 8}
  - {name: lstm, dim: 8, hidden: 8, max_length: 10, epochs: 4}
defenses: [{name: none}, {name: adversarial-training, lambda: 0.5, epsilon: 0.2}]
attacks:
  - {name: fgsm, epsilon: [0, 0.3]}
  - {name: fgsm, epsilon: 0.3, goal: promote, label: promoting}
  - {name: pgd, surface: parameters, steps: 2, epsilon: 0.3}
  - {name: random-edit, epsilon: 1, draws: 2}
  - {name: random-rewrite, epsilon: 0.5, goal: promote, draws: 2, label: rewriting}
  - {name: random-rewrite, epsilon: 0.5, goal: untargeted, draws: 2, label: titles}
  - {name: auto, surface: history, epsilon: 1}
  - {name: bandwagon, epsilon: 0.1}
targets: {count: 2}
metrics: [ndcg@10, METRICS]
ranking: [{surface: embedding, norm: linf, metric: like-f1, epsilon: 0.3}]
exclude:
  - {model: [popularity, content], lambda: 0.5}
  - {model: [popularity, content, mf], attack: auto}
  - {lambda: 0.5, attack: [auto, bandwagon]}
  - {seed: 1, attack: [auto, bandwagon, random-rewrite]}
"""
LIKED = SUITE.replace("METRICS", ", ".join(METRICS))
TABLES = ("cells.csv", "leaderboard.csv", "leaderboard.json", "leaderboard.md", "index.html")


@pytest.fixture(scope="module")
def done(robench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a finished run, with its own cache."""
    folder = tmp_path_factory.mktemp("liked")
    (folder / "liked.yaml").write_text(LIKED)
    result = robench(folder, "run", "liked.yaml", "--workers", "1", ROBENCH_CACHE=str(folder / "cache"))
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def cells(done):
    """Returns the columns, the record and the arrays of every measured cell."""
    out = done / "results" / "liked"
    found = []
    for c in json.loads((out / "plan.json").read_text())["cells"]:
        if c["status"] == "planned":
            with np.load(out / "cells" / f"{c['cell']}.npz") as arrays:
                record = json.loads((out / "cells" / f"{c['cell']}.json").read_text())
                found.append((c, record, dict(arrays)))
    return found


def where(cells, **wanted):
    return [cell for cell in cells if all(cell[0][k] == v for k, v in wanted.items())]


def test_every_cell_holds_what_its_values_come_from(cells):
    surfaces = {c["surface"] for c, _, _ in cells}
    assert surfaces == {"", "embedding", "parameters", "history", "text", "interactions"}
    for _, _, arrays in cells:
        assert len(arrays["likes"]) == len(arrays["dislikes"]) == len(arrays["ranks"])
        assert arrays["calibration"].shape == (2,)


def test_values_are_those_of_scikit_learn_from_the_arrays_alone(cells):
    checked = 0
    for _, record, arrays in cells:
        if "accuracy" not in record["metrics"]:
            continue
        a, b = arrays["calibration"]
        scores = np.concatenate([arrays["likes"], arrays["dislikes"]]).astype(np.float64)
        said, truth = (a * scores + b > 0).astype(int), np.repeat([1, 0], len(arrays["likes"]))
        wanted = [accuracy_score(truth, said)]
        wanted += [f(truth, said, zero_division=0) for f in (precision_score, recall_score, f1_score)]
        found = [record["metrics"][name]["value"] for name in METRICS]
        assert found == pytest.approx(wanted, abs=1e-9)
        checked += 1
    assert checked > 30


def test_the_calibration_is_the_victim_s_and_frozen_under_attack(cells):
    by_victim = defaultdict(set)
    for c, record, arrays in cells:
        told = record["diagnostics"]
        assert arrays["calibration"].tolist() == [told["calibration_a"], told["calibration_b"]]
        assert told["calibration_pairs"] == len(arrays["users"]) > 30
        assert ("calibration_inverted" in told) == (told["calibration_a"] <= 0)
        by_victim[c["victim"]].add(tuple(arrays["calibration"]))
    assert {len(found) for found in by_victim.values()} == {1}
    assert len(set.union(*by_victim.values())) > 8  # the calibration differs between victims


def test_negatives_are_those_of_the_data_for_every_model_defence_and_seed(done, cells):
    """The negatives depend on the prepared data alone.

    Each victim stores its scores of the negatives. The stored scores agree with the victim's top ten.
    """
    (path,) = (done / "cache" / "data").rglob("*.npz")
    data = Prepared.load(path)
    history = joined(data.train, data.validation)
    negatives = draw_test_negatives(history, data.test)
    for c, _, arrays in where(cells, attack="none"):
        users = arrays["users"]
        held, beside = data.test.items[data.test.indptr[users]], negatives[data.test.indptr[users]]
        if c["model"] == "popularity":
            np.testing.assert_array_equal(arrays["dislikes"], data.train.counts()[beside].astype(np.float32))
        listed = 0
        for row, top in enumerate(arrays["top"].tolist()):
            place, other = (top.index(item) if item in top else len(top) for item in (held[row], beside[row]))
            like, dislike = arrays["likes"][row], arrays["dislikes"][row]
            listed += place != other
            assert like >= dislike or place >= other
            assert like <= dislike or place <= other
        assert listed >= 8


def test_without_budget_everything_is_as_at_clean_bit_for_bit(cells):
    idle = [cell for cell in cells if cell[0]["attack_label"].startswith("fgsm") and cell[0]["epsilon"] == 0]
    assert len(idle) == 8
    for c, record, arrays in idle:
        ((_, clean, twin),) = where(cells, victim=c["victim"], attack="none")
        for name in ("likes", "dislikes", "calibration"):
            np.testing.assert_array_equal(arrays[name], twin[name])
        for name in METRICS:
            assert record["metrics"][name] == clean["metrics"][name]


def test_they_are_left_out_where_they_mean_nothing(cells):
    """A cell has no likes if an attack at test time promotes items.

    The cells of ensembles have no likes either, because an ensemble stops attacking users that it has broken.
    """
    for c, record, _ in cells:
        ensemble = c["kind"] == "ensemble"
        promoted = c["stage"] == "test" and c["goal"] == "promote"
        assert (set(METRICS) <= set(record["metrics"])) == (not ensemble and not promoted)
    assert where(cells, kind="ensemble")
    assert where(cells, attack_label="promoting")
    assert where(cells, stage="train")


def tables(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in TABLES}


def test_tables_are_recomputed_from_plan_cells_and_users(robench, done, tmp_path):
    out = done / "results" / "liked"
    before = tables(out)
    copy = tmp_path / "results" / "liked"
    copy.mkdir(parents=True)
    for name in ("plan.json", "users.npz"):
        shutil.copy(out / name, copy)
    shutil.copytree(out / "cells", copy / "cells")
    result = robench(tmp_path, "leaderboard", "results/liked")
    assert result.returncode == 0, result.stderr
    assert tables(copy) == before
    rows = list(csv.DictReader((copy / "cells.csv").read_text().splitlines()))
    assert {row["metric"] for row in rows if row["model"] == "popularity" and row["stage"] == ""} >= set(METRICS)


def test_the_section_of_twins_by_hand(done, cells):
    content = json.loads((done / "results/liked/leaderboard.json").read_text())
    found = [r for r in content["twins"] if r["model_label"] == "lstm" and r["attack_label"].startswith("fgsm")]
    (row,) = (r for r in found if r["metric"] == "accuracy" and r["epsilon"] == 0.3)

    def right(weight, attack, epsilon):
        rows = where(cells, model="lstm", attack=attack, epsilon=epsilon, goal="untargeted" if epsilon else "")
        rows = [cell for cell in rows if cell[0]["lambda"] == weight and cell[0]["stage"] != "train"]
        parts = []
        for _, _, arrays in sorted(rows, key=lambda cell: cell[0]["seed"]):
            a, b = arrays["calibration"]
            like, dislike = (a * arrays[name].astype(np.float64) + b > 0 for name in ("likes", "dislikes"))
            parts.append((like.astype(float) + ~dislike) / 2)
        assert len(parts) == 2
        return np.stack(parts)

    four = [right(w, attack, e) for w in (1.0, 0.5) for attack, e in (("none", 0.0), ("fgsm", 0.3))]
    for name, values in zip(("twin_clean", "twin_attacked", "robust_clean", "robust_attacked"), four, strict=True):
        assert row[name] == pytest.approx(list(compute_interval(values, (0, 1))), abs=1e-9)
    assert row["gain"] == pytest.approx(list(compute_interval(four[3] - four[1], (-1, 1))), abs=1e-9)
    assert row["seeds"] == 2
    text = (done / "results/liked/leaderboard.md").read_text()
    section = text.partition("## Robust model against its twin")[2].partition("\n## ")[0]
    cells_of = [
        format_interval(Interval(*row[n]))
        for n in ("twin_clean", "twin_attacked", "robust_clean", "robust_attacked", "gain")
    ]
    assert " | ".join(cells_of[:1]) in section
    assert all(cell in section for cell in cells_of)
    for metric in (*METRICS, "ndcg@10"):
        assert f" {metric} " in section
    assert "auto" not in {r["attack_label"] for r in content["twins"] if r["metric"] in METRICS}
    assert not any(r["attack_label"] == "promoting" for r in content["twins"])


def test_stored_cells_without_likes_are_measured_again_when_a_suite_asks_for_them(robench, tmp_path):
    """A new measurement adds the likes and leaves all other arrays equal."""
    small = SUITE.partition("attacks:")[0].replace("seeds: [0, 1]", "seeds: [0]")
    small = "\n".join(line for line in small.splitlines() if "lstm" not in line and "content" not in line)
    plain = f"{small}\nattacks: [{{name: fgsm, epsilon: 0.3}}]\nmetrics: [ndcg@10]\n"
    plain += "exclude: [{model: popularity, lambda: 0.5}]\n"
    cache = {"ROBENCH_CACHE": str(tmp_path / "cache")}
    found = []
    for text in (plain, plain.replace("[ndcg@10]", "[ndcg@10, accuracy]")):
        (tmp_path / "liked.yaml").write_text(text)
        planned = robench(tmp_path, "plan", "liked.yaml", **cache)
        assert planned.returncode == 0, planned.stderr
        result = robench(tmp_path, "run", "liked.yaml", "--workers", "1", **cache)
        assert result.returncode == 0, result.stderr
        files = sorted((tmp_path / "results/liked/cells").glob("*.npz"))
        found.append({path.name: dict(np.load(path)) for path in files})
    before, after = found
    assert before.keys() == after.keys()
    assert len(before) == 5
    for name, arrays in before.items():
        assert set(after[name]) - set(arrays) == {"likes", "dislikes", "calibration"}
        for part in arrays:
            np.testing.assert_array_equal(arrays[part], after[name][part])
    content = json.loads((tmp_path / "results/liked/leaderboard.json").read_text())
    assert content["twins"]
    again = robench(tmp_path, "run", "liked.yaml", "--workers", "1", **cache)
    assert "5 of them stored" in again.stdout + again.stderr or "5 stored" in again.stdout + again.stderr


def test_the_worst_case_is_a_single_attack_never_a_maximum_over_users(done, cells):
    content = json.loads((done / "results/liked/leaderboard.json").read_text())
    ((table,), checked) = content["tables"], 0
    assert table["metric"] == "like-f1"
    for row in table["rows"]:
        mine = [c for c in cells if c[0]["model"] == row["model"] and c[0]["lambda"] == row["lambda"]]
        budgets = defaultdict(list)
        for c, record, _ in mine:
            if c["surface"] == "embedding" and c["goal"] == "untargeted":
                budgets[c["epsilon"]].append(record["metrics"]["like-f1"]["value"])
        if budgets:
            assert row["worst"] == pytest.approx(min(np.mean(values) for values in budgets.values()), abs=1e-9)
            checked += 1
    assert checked == 4
