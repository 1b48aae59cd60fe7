"""The code and the lists of docs/ hold."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from robench.host import Host
from robench.plan import MATCHES
from robench.registry import Registry
from robench.suite.schema import SPLITS, RankingEntry, SuiteFile, TargetsEntry, UsersEntry

ROOT = Path(__file__).resolve().parents[1]
SUITE, TABLES, PLUGINS = ((ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("suite", "tables", "plugins"))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def command(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.fixture
def plugins(tmp_path):
    names = ("average.py", "test_average.py", "noise.py", "test_noise.py")
    for name, text in zip(names, blocks(PLUGINS, "python"), strict=True):
        assert f"`{name}`" in PLUGINS
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_plugins_run_in_their_suite(plugins):
    (text,) = blocks(PLUGINS, "yaml")
    (plugins / "mine.yaml").write_text(text)
    done = command(plugins, "robench", "run", "mine.yaml", PYTHONPATH=".", ROBENCH_PLUGINS="average,noise")
    assert done.returncode == 0, done.stderr
    table = (plugins / "results" / "mine" / "leaderboard.csv").read_text()
    assert "average-net" in table
    assert "noise-training" in table


@pytest.mark.parametrize("name", ["test_average.py", "test_noise.py"])
def test_the_plugins_pass_their_conformance_tests(plugins, name):
    done = command(plugins, "pytest", "-q", name, "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout


def test_the_suite_with_every_key_is_planned_and_has_them_all(tmp_path):
    (text,) = blocks(SUITE, "yaml")
    assert set(re.findall(r"^(\w+):", text, re.M)) == set(SuiteFile.model_fields)
    (tmp_path / "everything.yaml").write_text(text)
    done = command(tmp_path, "robench", "plan", "everything.yaml")
    assert done.returncode == 0, done.stderr
    assert "a run would end here" not in done.stdout


def test_what_a_suite_takes_is_listed():
    splits = [name for split in SPLITS.values() for name in split.model_fields]
    models = [name for model in (TargetsEntry, UsersEntry, RankingEntry) for name in model.model_fields]
    for name in (*SuiteFile.model_fields, *SPLITS, *splits, *models, *MATCHES):
        assert re.search(rf"`[^`]*\b{re.escape(name)}\b[^`]*`", SUITE), name
    registry = Registry.of(Host.discover())
    documented = set(re.findall(r"^\| `([a-z-]+)(?:@k)?` \|", SUITE.partition("## `metrics`")[2], re.M))
    assert documented == {entry.name for entry in registry.entries["metric"] if entry.distribution == "robench"}


def test_every_flag_is_explained():
    code = (ROOT / "benchmark" / "robench" / "flags.py").read_text("utf-8")
    names = set(re.findall(r'flag\(\s*f?"([^"]+)"', code)) | set(re.findall(r'found = "([^"]+)"', code))
    assert len(names) > 8
    for name in names:
        plain = name.removeprefix("{label} ").partition("{")[0]
        words = [word for word in re.split(r"[^\w,]+", plain) if word]
        assert words
        assert re.search(r"\W+(\w\W+)?".join(map(re.escape, words)), TABLES), name


def test_links_lead_somewhere():
    for path in (ROOT / "docs").glob("*.md"):
        for link in re.findall(r"\]\(([\w/.-]+)(?:#[\w-]+)?\)", path.read_text("utf-8")):
            assert (path.parent / link).exists(), f"{path.name}: {link}"
    readme = (ROOT / "README.md").read_text("utf-8")
    for name in ("suite", "tables", "plugins"):
        assert f"(docs/{name}.md)" in readme
