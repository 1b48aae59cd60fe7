"""Executes docs/guide/your-own-model.md from the training to the board."""

import csv
import re
import runpy
import sys

import numpy as np
import pytest
from tests.docs.pages import blocks, read
from tests.forked import conformance

PAGE = "docs/guide/your-own-model.md"
READER_TEST = """from pathlib import Path
from my_reader import MyReader
from robench.testing import TrainedModelTests
class TestMyReader(TrainedModelTests):
    model = MyReader
    settings = {"path": Path(__file__).with_name("words.txt")}
"""


def named_blocks():
    text, files = read(PAGE), {}
    for code in blocks(text, "python"):
        name = text[: text.index(code)].rpartition(".py`")[0].rpartition("`")[2] + ".py"
        files[name] = code
    return files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    for name, text in named_blocks().items():
        (folder / name).write_text(text, "utf-8")
    (folder / "own.yaml").write_text(blocks(read(PAGE), "yaml")[0], "utf-8")
    generator = np.random.default_rng(0)
    lines = ["user,item,time"]
    for user in range(120):
        liked = generator.permutation(np.arange(user % 3, 48, 3))[:9]
        lines += [f"{user},film-{item},{time}" for time, item in enumerate(liked)]
    (folder / "ratings.csv").write_text("\n".join(lines), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        runpy.run_path("train.py")
        runpy.run_path("train_neighbours.py")
        for name in ("net", "neighbours"):
            sys.modules.pop(name)
    (folder / "words.txt").write_text("\n".join(f"{word}\t1.5" for word in ["title", *map(str, range(40))]), "utf-8")
    (folder / "test_my_reader.py").write_text(READER_TEST, "utf-8")
    return folder


def test_the_page_shows_plugins_of_about_twenty_lines():
    files = named_blocks()
    assert set(files) == {
        *("net.py", "train.py", "my_model.py", "my_open_model.py", "my_reader.py"),
        *("neighbours.py", "train_neighbours.py", "my_object.py"),
        *("test_my_model.py", "test_my_open_model.py", "test_my_object.py"),
    }
    for name in ("my_model.py", "my_object.py"):
        lines = [line for line in files[name].splitlines() if line]
        assert len(lines) <= 20, name


def test_the_models_pass_their_conformance_tests(folder):
    (command,) = re.findall(r"^python -m pytest (.*)$", read(PAGE), re.M)
    done = conformance(folder, "-q", *command.split(), "test_my_reader.py")
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


def test_they_are_on_the_board(folder, robench):
    (plugins,) = re.findall(r"^PYTHONPATH=\. ROBENCH_PLUGINS=(\S+) robench run own.yaml$", read(PAGE), re.M)
    places = {"PYTHONPATH": ".", "ROBENCH_PLUGINS": plugins, "ROBENCH_CACHE": str(folder / "cache")}
    done = robench(folder, "run", "own.yaml", "--workers", "1", **places)
    assert done.returncode == 0, done.stderr
    assert "my-model was trained elsewhere, so bandwagon cannot change its training data" in done.stderr
    with (folder / "results" / "own" / "leaderboard.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if "my-" in row["model_label"]]
    assert {(row["model_label"], row["surface"]) for row in rows} >= {
        ("my-model", "history"),
        ("my-open-model", "history"),
        ("my-open-model", "embedding"),
        ("my-object", "history"),
    }
    for row in rows:
        assert "trained elsewhere" in row["flags"]
        assert "ignore" not in row["flags"]
        if row["worst"]:
            assert float(row["worst"]) < float(row["clean"])
    same = {row["model_label"]: row["clean"] for row in rows if row["surface"] == "history"}
    assert float(same["my-model"]) == pytest.approx(float(same["my-open-model"]), abs=1e-3)
