"""Tests that common mistakes end the command with one line and write no files.

The tests also check that a plan imports only the plugins that it names.
"""

import subprocess
import sys
from pathlib import Path

import pytest

GOOD = "name: t\ndatasets: [synthetic]\nmodels:\n  - popularity\n"
AT = GOOD + "defenses:\n  - {name: adversarial-training, lambda: 1.5}\n"
MISTAKES = {
    "unknown key": (GOOD + "modells: []\n", "t.yaml:5: modells: unknown key 'modells'", "did you mean 'models'"),
    "unknown plugin": (GOOD.replace("popularity", "popularty"), "t.yaml:4: models[0]", "did you mean 'popularity'"),
    "duplicate key": (GOOD + "name: u\n", "t.yaml:5: ", "duplicate key 'name'"),
    "lambda 1.5": (AT, "t.yaml:6: defenses[0].lambda", "less than or equal to 1"),
    "epsilon -1": (GOOD + "attacks:\n  - {name: fgsm, epsilon: -1}\n", "t.yaml:6: attacks[0].epsilon", "at least 0"),
    "empty model list": ("name: t\ndatasets: [synthetic]\nmodels: []\n", "t.yaml:3: models", "empty"),
    "a missing file": (GOOD.replace("synthetic", "{name: csv, path: t.ymal}"), "t.ymal: no such file", "'t.yaml'"),
    "a list": ("- name: t\n- models: [popularity]\n", "t.yaml:1: ", "a list, not a mapping"),
}


@pytest.mark.parametrize(("text", "place", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_with_exit_code_two_and_nothing_is_written(robench, tmp_path, text, place, hint):
    (tmp_path / "t.yaml").write_text(text)
    done = robench(tmp_path, "run", "t.yaml")
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert len(said.strip().splitlines()) == 1, said
    assert place in said
    assert hint in said
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["t.yaml"]


def test_a_suite_that_is_not_there_is_one_line_of_the_real_command(tmp_path):
    (tmp_path / "mine.yaml").write_text(GOOD)
    command = [sys.executable, "-m", "robench", "run", "mien.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "mien.yaml" in done.stderr
    assert "no such file" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"]


def test_a_plan_imports_neither_torch_nor_a_model_that_it_does_not_name(tmp_path):
    (tmp_path / "t.yaml").write_text(GOOD)
    code = (
        "import sys\nfrom robench.cli import app\n"
        "try:\n    app(['plan', 't.yaml'])\nexcept SystemExit as end:\n    assert not end.code\n"
        "print('imported', *sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    imported = next(line for line in done.stdout.splitlines() if line.startswith("imported")).split()
    assert "torch" not in imported
    models = {name for name in imported if name.startswith("robench_plugins.models.")}
    assert models == {"robench_plugins.models.popularity"}


SKIPPED = GOOD + "attacks:\n  - {name: fgsm, epsilon: [0.1, 0.2]}\n  - {name: greedy-edit, epsilon: 1}\n"
WHY = [
    "2 cells: popularity has no surface 'embedding' for fgsm",
    "1 cell: popularity has no surface 'history' for greedy-edit",
]


def test_run_its_leaderboard_and_plan_say_alike_why_cells_are_skipped(robench, tmp_path):
    (tmp_path / "t.yaml").write_text(SKIPPED)
    planned, done = robench(tmp_path, "plan", "t.yaml"), robench(tmp_path, "run", "t.yaml")
    assert done.returncode == 0, done.stderr
    for text in (planned.stdout, done.stderr):
        told = [line for line in text.splitlines() if line.startswith("skipped: ")]
        assert told == [f"skipped: {line}" for line in WHY]
    folder = Path("results") / "t"
    told = [f"leaderboard: {folder / 'leaderboard.md'}", f"page: {folder / 'index.html'}"]
    assert done.stdout.splitlines()[-2:] == told
    page = (tmp_path / folder / "index.html").read_text()
    assert all(f"<li>{line}</li>" in page.replace("&#39;", "'") for line in WHY)
    lines = (tmp_path / folder / "leaderboard.md").read_text().splitlines()
    assert lines[lines.index("## Skipped cells") + 2 :] == [f"- {line}" for line in WHY]


@pytest.mark.parametrize("written", ["warmup: 3", "grid: {warmup: [3]}"])
def test_a_warm_up_as_long_as_the_training_is_refused_before_any_work(robench, tmp_path, written):
    text = GOOD + f"  - {{name: mf, epochs: 3}}\ndefenses:\n  - none\n  - {{name: apr, {written}}}\n"
    (tmp_path / "t.yaml").write_text(text)
    path = "defenses[1].grid.warmup" if "grid" in written else "defenses[1].warmup"
    wanted = f"t.yaml:8: {path}: mf trains for 3 epochs, and apr is still warming up after them"
    for command in ("plan", "run"):
        done = robench(tmp_path, command, "t.yaml")
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(wanted), done.stderr
        assert "(give it a warmup below 3, or the model more epochs)" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "results").exists()
    for fine in ("exclude: [{model: mf, defense: apr}]\n", ""):
        (tmp_path / "t.yaml").write_text((text if fine else text.replace("3}\n", "4}\n", 1)) + fine)
        assert robench(tmp_path, "plan", "t.yaml").returncode == 0


def test_more_targets_than_there_are_items_are_refused_by_plan_as_by_run(robench, tmp_path):
    attack = "attacks: [{name: bandwagon, epsilon: 0.1}]\n"
    (tmp_path / "t.yaml").write_text(GOOD + attack + "targets: {count: 40, sets: 100}\n")
    for command in ("plan", "run"):
        done = robench(tmp_path, command, "t.yaml")
        assert done.returncode == 2, done.stdout
        assert done.stderr.startswith(
            "t.yaml:6: targets: synthetic: 4000 unpopular items are requested as targets, but "
        )
        assert "(targets.count times targets.sets items are drawn: lower one of them)" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("  - {name: text-bert, weights: ./nowhere}", "t.yaml:5: models[1]: text-bert: no such folder: ./nowhere"),
        ("  - {name: text-bert, weights: empty}", "empty: no config.json"),
        ("  - {name: llm, weights: ./none.gguf}", "t.yaml:5: models[1]: llm: no such file: ./none.gguf"),
        (
            "attacks:\n  - {name: rewrite, weights: /no/such, epsilon: 1}",
            "t.yaml:6: attacks[0]: rewrite: no such folder: /no/such",
        ),
    ],
)
def test_weights_that_are_not_there_end_the_run_before_any_work(robench, tmp_path, entry, problem):
    (tmp_path / "empty").mkdir()
    text = "name: t\ndatasets: [{name: synthetic, users: 40, items: 30}]\nmodels:\n  - {name: content, min_items: 1}\n"
    (tmp_path / "t.yaml").write_text(f"{text}{entry}\n")
    done = robench(tmp_path, "run", "t.yaml")
    assert done.returncode == 2, done.stderr
    *_, line = done.stderr.strip().splitlines()  # what was read of the data comes first
    assert problem in line
    assert not (tmp_path / "results").exists()
