"""Tests the plugins that the documentation shows.

Each plugin passes its conformance tests, and one suite runs all of the plugins.
"""

import csv
import inspect
import os
import re

import pytest
from tests.docs.examples import EXAMPLES, MODULES, PACKAGES, PAGES, files
from tests.docs.pages import blocks, read, section, tables
from tests.forked import conformance

from robench.api import hooks
from robench.authoring.kinds import LAYOUTS, PackageKind
from robench.authoring.names import derive_names
from robench.authoring.package import render
from robench.host.registry import KINDS

INDEX = read("docs/plugins/index.md")
NAMES = [name for name, _ in PACKAGES.values()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, robench):
    folder = tmp_path_factory.mktemp("plugins")
    for name, text in EXAMPLES.items():
        (folder / name).write_text(text, "utf-8")
    for name, kind in PACKAGES.values():
        done = robench(folder, "new-plugin", name, "--kind", kind)
        assert done.returncode == 0, done.stderr
    (folder / "pytest.ini").write_text("[pytest]\n")  # otherwise, pytest would choose the settings of one package
    return folder


@pytest.fixture(scope="module")
def tested(folder):
    """Returns the result of running the conformance tests of all plugins.

    The tests run in one process, so that the small models are fitted only once. Files in several packages have the same
    name, which only the import mode ``importlib`` allows. This mode names test modules by their path below ``rootdir``.
    """
    options = ("-v", "--import-mode=importlib", f"--rootdir={folder.parent}")
    tests = [*(f"test_{name}.py" for name in MODULES), *(f"{name}/tests" for name in NAMES)]
    return conformance(folder, *options, *tests, PYTHONPATH=os.pathsep.join([".", *NAMES]))


def test_every_kind_of_plugin_has_a_page_with_a_plugin_and_its_test():
    for page in PAGES:
        names = {name for name in files(page) if "/" not in name}
        modules = {name for name in names if not name.startswith("test_")}
        assert names == modules | {f"test_{name}" for name in modules}, page
        assert modules or page.endswith("index.md") or page in PACKAGES, page
    assert "momentum.py" in read("README.md")
    assert "test_momentum.py" in read("README.md")


def test_a_report_takes_ten_lines():
    lines = [line for line in EXAMPLES["tracker.py"].splitlines() if line]
    assert len(lines) <= 10


def test_every_kind_of_package_has_a_page_that_shows_its_files():
    assert sorted(kind for _, kind in PACKAGES.values()) == sorted(PackageKind)
    for page, (name, kind) in PACKAGES.items():
        layout = LAYOUTS[PackageKind(kind)]
        assert page == f"docs/plugins/{layout.page}.md"
        written = render(derive_names(name), PackageKind(kind))
        shown = {path: text for path, text in files(page).items() if "/" in path}
        package = derive_names(name).package
        assert {f"{package}/{layout.module}.py", f"tests/test_{layout.module}.py"} <= set(shown), page
        assert shown == {path: written[path] for path in shown}, page


def test_the_index_lists_every_kind_with_its_page():
    rows = {row["`--kind`"].strip("`"): row["page"] for table in tables(INDEX) for row in table if "`--kind`" in row}
    assert set(rows) == set(PackageKind)
    for kind, link in rows.items():
        assert f"({LAYOUTS[PackageKind(kind)].page}.md#" in link, kind


def test_every_hook_is_on_a_page():
    """Only the pages are tested here. tests/host and tests/run test the hooks."""
    names = {name for name in dir(hooks) if name.startswith("robench_")}
    registering = {hook for hook, _ in KINDS.values()}
    (rows,) = tables(section(read("docs/plugins/report.md"), "The hooks"))
    following = {row["hook"].strip("`"): set(re.findall(r"`(\w+)`", row["arguments"])) for row in rows}
    assert set(following) == names - registering
    for hook, arguments in following.items():
        assert set(inspect.signature(getattr(hooks, hook)).parameters) <= arguments, hook
    code = [text for name, text in EXAMPLES.items() if not name.startswith("test_")]
    code += [
        text for name, kind in PACKAGES.values() for text in render(derive_names(name), PackageKind(kind)).values()
    ]
    for hook in registering:
        assert f"`{hook}`" in INDEX, hook
        assert any(f"\ndef {hook}():" in text for text in code), hook


def test_they_pass_their_conformance_tests(tested):
    assert tested.returncode == 0, tested.stdout[-4000:]
    for name in MODULES:
        assert f"test_{name}.py::" in tested.stdout
    for name, kind in PACKAGES.values():
        assert f"{name}/tests/test_{LAYOUTS[PackageKind(kind)].module}.py::" in tested.stdout


def test_they_run_in_their_suite(folder, tested, robench):
    (text,) = blocks(INDEX, "yaml")
    (folder / "mine.yaml").write_text(text, "utf-8")
    named = ",".join(re.findall(r"^export ROBENCH_PLUGINS=(?:\$ROBENCH_PLUGINS,)?(\S+)$", INDEX, re.M))
    assert sorted(named.split(",")) == sorted([*MODULES, *(derive_names(name).package for name in NAMES)])
    places = os.pathsep.join([".", *NAMES])
    done = robench(folder, "run", "mine.yaml", "--workers", "1", PYTHONPATH=places, ROBENCH_PLUGINS=named)
    assert done.returncode == 0, done.stderr
    table = (folder / "results" / "mine" / "leaderboard.csv").read_text("utf-8")
    cells = (folder / "results" / "mine" / "cells.csv").read_text("utf-8")
    log = (folder / "runs.csv").read_text("utf-8")
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
    assert ",mine," in log
    assert log.count(",ndcg@10,") == cells.count(",ndcg@10,")
    values = (folder / "values.csv").read_text("utf-8").splitlines()
    assert sorted(line.split(",")[:2] for line in values) == sorted(
        [row["cell"], row["measure"]] for row in csv.DictReader(log.splitlines()) if row["measure"]
    )
    records = [path.read_text("utf-8") for path in (folder / "results" / "mine" / "cells").glob("*.json")]
    assert any('"titles"' in text for text in records)
    assert not any("filter_reach" in text for text in records), "the decoder, which takes seconds, is not hidden"
