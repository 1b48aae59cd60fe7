"""Tests the plugins that the documentation shows.

Each plugin passes its conformance tests, and one suite runs all of the plugins.
"""

import re

import pytest
from tests.docs.examples import EXAMPLES, MODULES, PAGES, files
from tests.docs.pages import blocks, read
from tests.forked import conformance

INDEX = read("docs/plugins/index.md")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    for name, text in EXAMPLES.items():
        (folder / name).write_text(text, "utf-8")
    return folder


@pytest.fixture(scope="module")
def tested(folder):
    """Returns the result of running the conformance tests of all plugins.

    The tests run in one process, so that the small models are fitted only once.
    """
    return conformance(folder, "-v", *(f"test_{name}.py" for name in MODULES))


def test_every_kind_of_plugin_has_a_page_with_a_plugin_and_its_test():
    for page in PAGES:
        names = set(files(page))
        modules = {name for name in names if not name.startswith("test_")}
        assert names == modules | {f"test_{name}" for name in modules}, page
        assert modules or page.endswith("index.md")
    assert "momentum.py" in read("README.md")
    assert "test_momentum.py" in read("README.md")


def test_they_pass_their_conformance_tests(tested):
    assert tested.returncode == 0, tested.stdout[-4000:]
    for name in MODULES:
        assert f"test_{name}.py::" in tested.stdout


def test_they_run_in_their_suite(folder, tested, robench):
    (text,) = blocks(INDEX, "yaml")
    (folder / "mine.yaml").write_text(text, "utf-8")
    named = ",".join(re.findall(r"^export ROBENCH_PLUGINS=(?:\$ROBENCH_PLUGINS,)?(\S+)$", INDEX, re.M))
    assert sorted(named.split(",")) == MODULES
    done = robench(folder, "run", "mine.yaml", "--workers", "1", PYTHONPATH=".", ROBENCH_PLUGINS=named)
    assert done.returncode == 0, done.stderr
    table = (folder / "results" / "mine" / "leaderboard.csv").read_text("utf-8")
    cells = (folder / "results" / "mine" / "cells.csv").read_text("utf-8")
    for name in ("average-net", "together,together,none,", "noise-training", "squash", "duo@1"):
        assert name in table, name
    for name in (
        "forget-latest",
        "momentum",
        "nesterov",
        "borrow",
        "popular-fillers",
        "best-of-some",
        "lost-log",
        "borda@10",
    ):
        assert name in cells, name
