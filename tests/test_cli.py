"""Tests the output of the command.

The tests cover stale and changed cells, mistakes in one line, and unusual terminals.
"""

import os
import subprocess
from functools import partial
from pathlib import Path

import pytest
import torch
from tests.forked import real

SUITE = "name: t\ndatasets: [{name: csv, path: r.csv}]\nmodels: [mine]\n"
MODEL = """
from robench.api import hookimpl
from robench_plugins.models.popularity import Popularity

class Mine(Popularity):
    pass

@hookimpl
def robench_models():
    return {"mine": Mine}
"""
ROWS = "user,item,time\n" + "".join(f"{u},{(u * 7 + i * i) % 11},{i}\n" for u in range(20) for i in range(6))


@pytest.fixture(scope="session")
def robench(robench):
    return partial(robench, PYTHONPATH=".", ROBENCH_PLUGINS="mine")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "t.yaml").write_text(SUITE)
    (tmp_path / "mine.py").write_text(MODEL)
    (tmp_path / "r.csv").write_text(ROWS)
    return tmp_path


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.stderr.strip()


def test_stale_cells_are_told_by_run_and_plan_alike(robench, folder):
    first = robench(folder, "run", "t.yaml")
    assert first.returncode == 0, first.stderr
    assert "are stale" not in first.stderr
    (folder / "mine.py").write_text(MODEL + "# another version\n")
    warning = "stale: 1 stored cell: code or weights have changed since; --fresh measures again"
    again = robench(folder, "run", "t.yaml")
    assert warning in again.stderr
    assert "0 cells of 0 victims" in again.stderr
    assert warning in robench(folder, "plan", "t.yaml").stdout
    fresh = robench(folder, "run", "t.yaml", "--fresh")
    assert "1 cell of 1 victim" in fresh.stderr
    assert "are stale" not in fresh.stderr + robench(folder, "plan", "t.yaml").stdout


def test_plan_sees_that_the_data_changed(robench, folder):
    assert robench(folder, "run", "t.yaml").returncode == 0
    assert "1 cell, 1 stored" in robench(folder, "plan", "t.yaml").stdout
    (folder / "r.csv").write_text(ROWS + "3,77,99\n")
    seen = robench(folder, "plan", "t.yaml").stdout
    assert "measured on different data: 1 stored cell: run measures again" in seen
    assert "1 cell, 0 stored" in seen
    assert "1 cell of 1 victim" in robench(folder, "run", "t.yaml").stderr


def test_a_plan_of_several_data_sets_tells_whose_victim_is_whose(robench, folder):
    assert "mine, seed 0" in (alone := robench(folder, "plan", "t.yaml").stdout)
    assert "csv: mine" not in alone
    entries = ("label: one", "label: two, min_user_interactions: 2")
    two = ", ".join(f"{{name: csv, path: r.csv, {more}}}" for more in entries)
    (folder / "t.yaml").write_text(f"name: t\ndatasets: [{two}]\nmodels: [mine]\n")
    seen = robench(folder, "plan", "t.yaml").stdout
    assert "one: mine, seed 0" in seen
    assert "two: mine, seed 0" in seen


def test_missing_times_are_told_by_run_and_plan(robench, folder):
    for text, told in ((ROWS, False), ("\n".join(row.rpartition(",")[0] for row in ROWS.splitlines()), True)):
        (folder / "r.csv").write_text(text)
        for done in (robench(folder, "plan", "t.yaml").stdout, robench(folder, "run", "t.yaml").stderr):
            assert ("csv: no times: input order counts as time" in done) == told


def test_plan_tells_what_a_run_would_refuse(robench, folder):
    (folder / "r.csv").unlink()
    seen = robench(folder, "plan", "t.yaml")
    assert seen.returncode == 2
    assert "1 cell, 0 stored" in seen.stdout
    (line,) = seen.stderr.strip().splitlines()
    assert line.startswith("a run would end here: ")
    assert "no such file" in line


@pytest.mark.parametrize("only", [[], ["--only", "dataset=synthetic"]])
def test_plan_refuses_what_run_refuses_each_data_set_in_a_line(robench, folder, only):
    data = "[synthetic, {name: csv, path: one.csv, label: one}, {name: csv, path: two.csv, label: two}]"
    (folder / "t.yaml").write_text(SUITE.replace("[{name: csv, path: r.csv}]", data).replace("[mine]", "[popularity]"))
    planned, done = robench(folder, "plan", "t.yaml", *only), robench(folder, "run", "t.yaml", *only)
    assert (planned.returncode, done.returncode) == (2, 2)
    lines = [line.removeprefix("a run would end here: ") for line in planned.stderr.strip().splitlines()]
    assert lines == done.stderr.strip().splitlines()
    assert [line.split(": ")[:3] for line in lines] == [
        ["t.yaml:2", "datasets[1].path", "one.csv"],
        ["t.yaml:2", "datasets[2].path", "two.csv"],
    ]
    assert not (folder / "results").exists()


def test_plan_counts_what_exclude_removed_and_tells_of_lambda_one(robench, folder):
    more = "defenses: [none, {name: adversarial-training, lambda: [1, 0.5]}]\nexclude: [{lambda: 0.5}]\n"
    (folder / "t.yaml").write_text(SUITE.replace("[mine]", "[mf]") + more)
    seen = robench(folder, "plan", "t.yaml").stdout
    assert "excluded: 1 cell" in seen
    assert "λ=1 of adversarial-training is planned as none" in seen


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["leaderboard", "t.yaml"], "t.yaml: a file, not a folder of results"),
        (["run", "t.yaml", "--results", "r.csv"], "r.csv: a file, not a folder of results"),
        (["run", "t.yaml", "--results", "r.csv/below"], "r.csv/below: cannot be written"),
        (["run", "t.yaml", "--results", "x" * 300], "cannot be used: File name too long"),
        (["compare", "r.csv", "r.csv"], "r.csv: a file, not a folder of results"),
        (["leaderboard", "results/t", "--tables", "all", "--format", "csv"], "--tables: only text has a choice"),
        (["run", "t.yaml", "--nope"], "robench run: no such option: --nope"),
        (["run", "t.yaml", "--format", "pdf"], "invalid value for '--format': 'pdf' is not one of 'text', 'md'"),
        (["run", "t.yaml", "--format", "latex", "--tables", "all"], "choice of tables; latex has the ranking tables"),
        (["run", "t.yaml", "--workers", "x"], "'--workers': must be a whole number"),
        (["run"], "missing argument"),
        (["rnu"], "no such command 'rnu'"),
        (["plan", "t.yaml", "--only", "model=min"], "no cell has model 'min' (did you mean 'mine'?"),
        (["run", "t.yaml", "--only", "seed=7"], "--only seed=7: no cell has seed '7'"),
    ],
)
def test_mistakes_are_one_line(robench, folder, arguments, problem):
    assert problem in one_line(robench(folder, *arguments))


def test_a_cache_that_cannot_be_written_is_told_before_any_work(robench, folder):
    found = one_line(robench(folder, "run", "t.yaml", ROBENCH_CACHE=str(folder / "r.csv")))
    assert "the cache cannot be written" in found
    assert "ROBENCH_CACHE" in found
    assert not (folder / "results").exists()


def test_results_whose_cells_are_a_file_are_told(robench, folder):
    (folder / "results" / "t").mkdir(parents=True)
    (folder / "results" / "t" / "cells").write_text("")
    assert "cells: a file, not a folder of cells" in one_line(
        robench(folder, "run", "t.yaml", "--results", "results/t")
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_gpu_that_is_not_there_is_told_before_any_work(robench, folder, command):
    (folder / "t.yaml").write_text(SUITE + "device: cuda\n")
    assert "device: cuda: there is no GPU that torch can use" in one_line(robench(folder, command, "t.yaml"))
    assert not (folder / "results").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_results_folder_without_permission_is_told(robench, folder):
    (folder / "locked").mkdir(mode=0o500)
    assert "cannot be written" in one_line(robench(folder, "run", "t.yaml", "--results", "locked/x"))


def test_damaged_prepared_data_are_made_anew(robench, folder):
    assert robench(folder, "run", "t.yaml").returncode == 0
    (path,) = Path(os.environ["ROBENCH_CACHE"]).rglob("*.npz")
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", content[:200] + b"\x00" * 40 + content[240:]):
        path.write_bytes(damaged)
        done = robench(folder, "run", "t.yaml", "--fresh")
        assert done.returncode == 0, done.stderr
        assert path.read_bytes() == content


def test_a_terminal_without_greek_letters_shows_question_marks(robench, folder):
    places = {"PYTHONPATH": ".", "ROBENCH_PLUGINS": "mine", "PYTHONIOENCODING": "ascii"}
    done = robench(folder, "run", "t.yaml", **places)
    assert done.returncode == 0, done.stderr
    places |= {"PYTHONUTF8": "0", "LC_ALL": "C"}
    done = real(folder, "leaderboard", "results/t", **places)
    assert done.returncode == 0, done.stderr
    assert real(folder, "plan", "t.yaml", "--set", "models.0.λ=1", **places).returncode == 2
    (folder / "t.yaml").write_text(SUITE.replace("[mine]", "[{name: mine, label: ε}]"), "utf-8")
    done = real(folder, "plan", "t.yaml", **places)
    assert done.returncode == 0, done.stderr
    assert "| ?, seed 0" in done.stdout


def test_without_a_command_the_help_is_shown(robench, folder):
    done = robench(folder)
    assert done.returncode == 2
    assert "leaderboard" in done.stdout


def test_plugins_check_says_what_is_broken(robench, folder):
    assert robench(folder, "plugins", "--check").returncode == 0
    texts = {
        "empty": ("def robench_models():\n    return {}\n", "plugin empty:ROBENCH_PLUGINS registers nothing", 1),
        "raises": ("1 / 0\n", "broken plugin raises:ROBENCH_PLUGINS: ZeroDivisionError", 1),
        "lost": (MODEL.replace('"mine": Mine', '"lost": "nowhere:Lost"'), "error: model 'lost' of plugin", 1),
        "rival": (MODEL, "name clash: write rival/mine", 0),
    }
    for name, (text, told, code) in texts.items():
        (folder / f"{name}.py").write_text(text)
        done = robench(folder, "plugins", "--check", ROBENCH_PLUGINS=f"mine,{name}", COLUMNS="300")
        assert told in done.stdout, done.stdout
        assert done.returncode == code
    assert robench(folder, "plugins", ROBENCH_PLUGINS=",".join(["mine", *texts])).returncode == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "datasets: [{name: csv, path: r.csv, min_user_interactions: 900}]",
            "t.yaml:2: datasets[0]: csv: nothing is left",
        ),
        (
            "datasets: [{name: csv, path: r.csv, label: mine}]",
            "t.yaml:4: targets: mine: 500 unpopular items are requested",
        ),
        ("datasets: [{name: csv, path: nothing.csv}]", "t.yaml:2: datasets[0].path: nothing.csv: no such file"),
        (
            "datasets: [{name: csv, label: nothing.csv, path: nothing.csv}]",
            "t.yaml:2: datasets[0].path: nothing.csv: no such file",
        ),
        (
            "datasets:\n  - name: csv\n    min_user_interactions: 2\n    path: ./rr.csv",
            "t.yaml:5: datasets[0].path: rr.csv: no such file (did you mean 'r.csv'?)",
        ),
    ],
)
def test_what_is_wrong_with_data_has_its_place_and_data_set(robench, folder, line, told):
    more = "targets: {count: 500}\nattacks: [{name: bandwagon, epsilon: 0.1}]\n"
    (folder / "t.yaml").write_text(f"name: t\n{line}\nmodels: [mine]\n{more}")
    assert told in one_line(robench(folder, "run", "t.yaml"))


def test_tabs_are_told_to_be_spaces(robench, folder):
    (folder / "t.yaml").write_text("name: t\ndatasets:\n\t- synthetic\n")
    assert "use spaces" in one_line(robench(folder, "plan", "t.yaml"))
