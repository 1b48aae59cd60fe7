"""Tests the command from end to end.

The tests run a suite twice, kill and resume a run, recompute the tables, and show the records.
"""

import csv
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests import forked

from robench.engine.data.prepared import Prepared
from robench.files.lock import RUN_LOCK, locked

SUITE = """
name: tiny
seeds: [0, 1]
datasets: [{name: synthetic, users: 60, items: 40, interactions_per_user: 12, min_user_interactions: 5}]
models:
  - {name: popularity}
  - {name: mf, factors: 4, epochs: 2}
  - {name: lstm, dim: 4, hidden: 4, max_length: 6, epochs: 1}
defenses: [{name: none}, {name: adversarial-training, lambda: 0.5, epsilon: 0.05}]
attacks:
  - {name: fgsm, epsilon: [0.05, 0.1]}
  - {name: cw, epsilon: 0.5, steps: 3, search: 1}
  - {name: random-noise, epsilon: [0.05, 0.3], draws: 2}
  - {name: bandwagon, epsilon: 0.1}
exclude: [{model: [popularity, lstm], lambda: 0.5}]
"""
TABLES = ("cells.csv", "leaderboard.csv", "leaderboard.json", "leaderboard.md", "index.html")


def tables(folder: Path) -> dict[str, bytes]:
    """Returns the bytes of every table and of the page.

    The page shows the first digits of each record's sha256. A record holds seconds, so these digits are left out.
    """
    files = {name: (folder / name).read_bytes() for name in TABLES}
    return files | {"index.html": re.sub(rb"\([0-9a-f]{12}\)", b"", files["index.html"])}


@pytest.fixture(scope="module")
def done(robench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a finished run, with its own cache."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "tiny.yaml").write_text(SUITE)
    result = robench(folder, "run", "tiny.yaml", "--workers", "2", ROBENCH_CACHE=str(folder / "cache"))
    assert result.returncode == 0, result.stderr
    return folder


def test_everything_is_written(done):
    out = done / "results" / "tiny"
    plan = json.loads((out / "plan.json").read_text())
    planned = [c for c in plan["cells"] if c["status"] == "planned"]
    assert len(planned) == 2 * ((1 + 4 + 4 + 4) + (1 + 2 + 1) + 3 * 2)
    for cell in planned:
        record = json.loads((out / "cells" / f"{cell['cell']}.json").read_text())
        assert record["status"] == "ok"
        assert record["provenance"]["data_sha256"]
        assert (out / "cells" / f"{cell['cell']}.npz").exists()
    rows = list(csv.DictReader((out / "cells.csv").read_text().splitlines()))
    assert {row["status"] for row in rows} == {"ok", "skipped"}
    assert {row["metric"] for row in rows if row["attack"] == "none"} >= {"ndcg@10", "t-hr@10", "t-percentile"}
    assert (out / "leaderboard.md").read_text().startswith("# tiny")


def test_popularity_s_stored_ranks_equal_a_naive_loop_over_the_prepared_data(done):
    """Known items are left out of the ranking, and tied items count as better."""
    out = done / "results" / "tiny"
    (path,) = (done / "cache" / "data").rglob("*.npz")
    data = Prepared.load(path)
    plan = json.loads((out / "plan.json").read_text())
    cells = [c for c in plan["cells"] if c["model"] == "popularity" and c["attack"] == "none"]
    assert len(cells) == 2
    for cell in cells:
        with np.load(out / "cells" / f"{cell['cell']}.npz") as stored:
            users, ranks, indptr = (stored[name] for name in ("users", "ranks", "indptr"))
        counts = [0] * data.train.n_items
        for item in data.train.items.tolist():
            counts[item] += 1
        assert users.tolist() == list(range(data.train.n_users))
        assert indptr.tolist() == list(range(len(users) + 1))
        for user in users.tolist():
            known = {*data.train.row(user).tolist(), *data.validation.row(user).tolist()}
            (held,) = data.test.row(user).tolist()
            assert len(known) == len(data.train.row(user)) + 1
            others = [item for item in range(data.train.n_items) if item not in known and item != held]
            assert ranks[user] == 1 + sum(counts[item] >= counts[held] for item in others)


def test_a_second_run_does_nothing(robench, done):
    before = {p: p.stat().st_mtime_ns for p in (done / "results" / "tiny" / "cells").iterdir() if p.suffix == ".npz"}
    result = robench(done, "run", "tiny.yaml", ROBENCH_CACHE=str(done / "cache"))
    assert result.returncode == 0
    assert "0 cells of 0 victims" in result.stderr
    assert before == {p: p.stat().st_mtime_ns for p in before}


def test_a_new_epsilon_costs_only_its_evaluation(robench, done, tmp_path):
    shutil.copytree(done, tmp_path / "again")
    folder = tmp_path / "again"
    (folder / "tiny.yaml").write_text(SUITE.replace("[0.05, 0.1]", "[0.05, 0.1, 0.2]"))
    checkpoints = sorted((folder / "cache" / "checkpoints").rglob("*.safetensors"))
    result = robench(folder, "run", "tiny.yaml", ROBENCH_CACHE=str(folder / "cache"))
    assert result.returncode == 0
    assert "6 cells of 6 victims" in result.stderr
    assert checkpoints == sorted((folder / "cache" / "checkpoints").rglob("*.safetensors"))


def test_workers_and_order_change_no_byte_of_the_tables(robench, done, tmp_path):
    """The test compares ``done`` with a run of one worker in three parts.

    The last victims of the plan run first. The second part runs the larger ε of every attack. The third part runs all
    other cells.
    """
    (tmp_path / "tiny.yaml").write_text(SUITE)
    parts = (["--only", "model=lstm", "--only", "seed=1"], ["--only", "epsilon=0.1", "--only", "epsilon=0.3"], [])
    for only in parts:
        result = robench(tmp_path, "run", "tiny.yaml", "--workers", "1", *only, ROBENCH_CACHE=str(tmp_path / "cache"))
        assert result.returncode == 0, result.stderr
    assert tables(tmp_path / "results" / "tiny") == tables(done / "results" / "tiny")


def test_kill_and_run_again(robench, done, tmp_path):
    """Cells that were finished before kill -9 are kept.

    The final tables equal those of an undisturbed run.
    """
    (tmp_path / "tiny.yaml").write_text(SUITE)
    cells = tmp_path / "results" / "tiny" / "cells"
    command = ("run", "tiny.yaml", "--workers", "2")
    with forked.started(tmp_path, *command, ROBENCH_CACHE=str(tmp_path / "cache")) as process:
        deadline = time.monotonic() + 120
        while len(list(cells.glob("*.npz"))) < 8 and time.monotonic() < deadline and process.is_alive():
            time.sleep(0.02)
        process.kill()
    kept = {p: p.stat().st_mtime_ns for p in cells.glob("*.npz")}
    assert len(kept) >= 8
    planned = [
        c for c in json.loads((tmp_path / "results/tiny/plan.json").read_text())["cells"] if c["status"] == "planned"
    ]
    assert len(kept) < len(planned), "the run had ended before it was killed"
    # The forked workers of the killed run hold its lock until they have ended.
    with locked(tmp_path / "results" / "tiny" / RUN_LOCK):
        pass
    result = robench(tmp_path, *command, ROBENCH_CACHE=str(tmp_path / "cache"))
    assert result.returncode == 0, result.stderr
    vouched = [p for p in kept if p.with_suffix(".json").exists()]
    assert sum(p.stat().st_mtime_ns == kept[p] for p in vouched) >= len(kept) - 2
    assert tables(tmp_path / "results" / "tiny") == tables(done / "results" / "tiny")


def test_tables_are_recomputed_from_plan_and_records_alone(robench, done, tmp_path):
    out = tmp_path / "moved"
    shutil.copytree(done / "results" / "tiny", out)
    wanted = tables(out)
    for name in TABLES:
        (out / name).unlink()
    assert robench(tmp_path, "leaderboard", str(out)).returncode == 0
    assert tables(out) == wanted


@pytest.mark.parametrize("victim", ["json", "npz"])
def test_a_changed_record_or_array_is_missing_in_tables_and_measured_again_by_run(robench, done, tmp_path, victim):
    shutil.copytree(done, tmp_path / "again")
    folder = tmp_path / "again"
    out = folder / "results" / "tiny"
    wanted = tables(out)
    cell = next(c for c in json.loads((out / "plan.json").read_text())["cells"] if c["status"] == "planned")["cell"]
    path = out / "cells" / f"{cell}.{victim}"
    content = path.read_bytes()
    damaged = content.replace(b'"version": 1', b'"version": 2', 1)
    path.write_bytes(damaged if victim == "json" else content[:-40] + b"x" + content[-39:])
    shown = robench(folder, "leaderboard", str(out))
    assert shown.returncode == 0
    assert "sha256 differs" in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1
    assert f"{cell}," in next(line for line in (out / "cells.csv").read_text().splitlines() if ",missing," in line)
    assert robench(folder, "run", "tiny.yaml", ROBENCH_CACHE=str(folder / "cache")).returncode == 0
    assert tables(out) == wanted


def test_a_folder_of_another_suite_is_refused(robench, done, tmp_path):
    (tmp_path / "other.yaml").write_text(SUITE.replace("name: tiny", "name: other"))
    result = robench(tmp_path, "run", "other.yaml", "--results", str(done / "results" / "tiny"))
    assert result.returncode == 2
    assert "holds suite 'tiny', not 'other'" in result.stderr


def test_plan_shows_what_is_stored_and_what_is_skipped(robench, done):
    result = robench(done, "plan", "tiny.yaml")
    assert result.returncode == 0, result.stderr
    assert "46 cells, 46 stored" in result.stdout
    assert "popularity has no surface 'embedding' for fgsm" in result.stdout


def test_plan_and_run_show_what_was_read_once_and_before_anything_is_measured(robench, done):
    cache = str(done / "cache")
    shown = robench(done, "plan", "tiny.yaml", ROBENCH_CACHE=cache).stdout.splitlines()
    lines = robench(done, "run", "tiny.yaml", ROBENCH_CACHE=cache).stderr.splitlines()
    data = [line for line in shown if line.startswith("synthetic: ")]
    assert len(data) == 1
    assert " users and 40 items" in data[0]
    assert lines[0] == data[0]
    assert [line for line in lines if " users and 40 items" in line] == data
    assert any("cells of 0 victims" in line for line in lines[1:])


def test_the_plan_the_page_and_the_leaderboard_hold_what_was_read(done):
    out = done / "results" / "tiny"
    (summary,) = json.loads((out / "plan.json").read_text())["data"].values()
    data = Prepared.load(next((done / "cache" / "data").rglob("*.npz")))
    assert summary["parts"] == [len(data.train), len(data.validation), len(data.test)]
    assert summary["rows"] == summary["interactions"] + summary["repeats"] + summary["outside_core"]
    (row,) = json.loads((out / "leaderboard.json").read_text())["data"]
    assert row == {"dataset": "synthetic", "split": "leave-last-out", "summary": summary}
    assert f"| rows                                   | {summary['rows']} " in (out / "leaderboard.md").read_text()
    assert "<h2>Data</h2>" in (out / "index.html").read_text()


def test_show_prints_a_record_and_a_users_lists(robench, done):
    out = done / "results" / "tiny"
    plan = json.loads((out / "plan.json").read_text())
    cell = next(c for c in plan["cells"] if c["attack"] == "fgsm" and c["model"] == "lstm")["cell"]
    result = robench(done, "show", str(out / "cells" / f"{cell}.json"), "--user", "3")
    assert result.returncode == 0, result.stderr
    assert "held out" in result.stdout
    assert "Synthetic" in result.stdout
    assert robench(done, "show", cell, "--user", "3").stdout == result.stdout
    assert "ndcg@10" in robench(done, "show", cell).stdout
    wrong = robench(done, "show", str(out / "cells" / f"{cell}.json"), "--user", "nobody")
    assert wrong.returncode == 2
    assert "no evaluated user 'nobody'" in wrong.stderr


def test_listing_never_imports_torch(done, tmp_path):
    folder = shutil.copytree(done / "results" / "tiny", tmp_path / "results" / "tiny")
    cell = next((folder / "cells").glob("*.json"))
    code = (
        "import json, sys\nfrom robench.cli import app\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    try:\n        app(arguments)\n    except SystemExit as end:\n        assert not end.code, arguments\n"
        "    assert 'torch' not in sys.modules, arguments\n"
    )
    commands = [["--help"], ["plugins"], ["leaderboard", "results/tiny"], ["show", str(cell)], ["run", "--help"]]
    command = [sys.executable, "-c", code, json.dumps(commands)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert result.returncode == 0, result.stderr


def test_a_plugin_that_raises_costs_its_own_cell(robench, tmp_path):
    (tmp_path / "trouble.py").write_text(
        "from robench.api import EmbeddingAttack, hookimpl\n"
        "class Broken(EmbeddingAttack):\n"
        "    def perturb(self, oracle, ball, rng):\n"
        "        raise RuntimeError('no luck')\n"
        "class Greedy(EmbeddingAttack):\n"
        "    def perturb(self, oracle, ball, rng):\n"
        "        yield {n: 10 * p for n, p in ball.ascent(oracle.gradient(oracle.zero()).gradient).items()}\n"
        "@hookimpl\n"
        "def robench_attacks():\n"
        "    return {'broken': Broken, 'greedy': Greedy}\n"
    )
    (tmp_path / "t.yaml").write_text(
        "name: t\ndatasets: [{name: synthetic, users: 60, items: 40}]\nmodels: [{name: mf, factors: 8, epochs: 2}]\n"
        "attacks: [{name: broken, epsilon: 0.1}, {name: greedy, epsilon: 0.1}, {name: fgsm, norm: l2, epsilon: 0.1}]\n"
    )
    environment = {"PYTHONPATH": str(tmp_path), "ROBENCH_PLUGINS": "trouble", "ROBENCH_CACHE": str(tmp_path / "c")}
    result = robench(tmp_path, "run", "t.yaml", **environment)
    assert result.returncode == 1, result.stderr
    assert "RuntimeError: no luck" in result.stderr
    out = tmp_path / "results" / "t"
    records = {}
    for cell in json.loads((out / "plan.json").read_text())["cells"]:
        records[cell["attack"]] = json.loads((out / "cells" / f"{cell['cell']}.json").read_text())
    assert {name: r["status"] for name, r in records.items()} == {
        "none": "ok",
        "trouble/broken": "failed",
        "trouble/greedy": "ok",
        "fgsm": "ok",
    }
    assert "no luck" in records["trouble/broken"]["error"]["traceback"]
    # The host projects a shift of ten times the budget to the shift of FGSM, and flags the attack.
    assert records["trouble/greedy"]["achieved"]["overshoot"] == pytest.approx(10, rel=1e-3)
    assert records["trouble/greedy"]["achieved"]["epsilon"] == pytest.approx(0.1, rel=1e-3)
    assert records["trouble/greedy"]["metrics"] == records["fgsm"]["metrics"]
    assert "greedy exceeded its budget 10x" in (out / "leaderboard.csv").read_text()
    # The run tries the failed cell again and keeps the others.
    again = robench(tmp_path, "run", "t.yaml", **environment)
    assert "1 cell of 1 victim" in again.stderr


def test_a_killed_worker_costs_its_own_victim(robench, tmp_path):
    (tmp_path / "deadly.py").write_text(
        "import os\nfrom robench.api import hookimpl\nfrom robench_plugins.models.popularity import Popularity\n"
        "class Deadly(Popularity):\n"
        "    def fit(self, data, rng):\n"
        "        os.kill(os.getpid(), 9)\n"
        "@hookimpl\n"
        "def robench_models():\n"
        "    return {'deadly': Deadly}\n"
    )
    (tmp_path / "t.yaml").write_text(
        "name: t\ndatasets: [{name: synthetic, users: 60, items: 40}]\nmodels: [deadly, popularity]\n"
    )
    environment = {"PYTHONPATH": str(tmp_path), "ROBENCH_PLUGINS": "deadly", "ROBENCH_CACHE": str(tmp_path / "c")}
    result = robench(tmp_path, "run", "t.yaml", "--workers", "1", **environment)
    assert result.returncode == 1, result.stderr
    assert "killed by SIGKILL" in result.stderr
    rows = list(csv.DictReader((tmp_path / "results/t/cells.csv").read_text().splitlines()))
    assert {row["model"]: row["status"] for row in rows} == {"deadly/deadly": "failed", "popularity": "ok"}
