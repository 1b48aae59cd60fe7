"""The README's code and commands work as they stand."""

import re
from pathlib import Path

import pytest
from tests.forked import conformance, robench

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SUITES = sorted((ROOT / "suites").rglob("*.yaml"))
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.S)


def code(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


@pytest.fixture
def plugin(tmp_path):
    module, tests = code("python")
    (tmp_path / "momentum.py").write_text(module)
    (tmp_path / "test_momentum.py").write_text(tests)
    return tmp_path


def test_the_plugin_runs_in_a_suite(plugin):
    (plugin / "s.yaml").write_text(
        "name: s\ndatasets: [{name: synthetic, users: 60, items: 40}]\nmodels: [{name: mf, factors: 8, epochs: 3}]\n"
        "attacks: [{name: momentum, norm: l2, epsilon: 0.05}]\n"
    )
    done = robench(plugin, "run", "s.yaml", PYTHONPATH=".", ROBENCH_PLUGINS="momentum")
    assert done.returncode == 0, done.stderr
    assert "momentum" in (plugin / "results" / "s" / "leaderboard.csv").read_text()


def test_the_plugin_passes_its_conformance_test(plugin):
    done = conformance(plugin, "-q", "test_momentum.py")
    assert done.returncode == 0, done.stdout


def test_the_suite_is_planned(tmp_path):
    (text,) = code("yaml")
    (tmp_path / "mine.yaml").write_text(text)
    rows = [f"{user},{item}" for item in range(30) for user in range(20 + item)]
    (tmp_path / "ratings.csv").write_text("\n".join(["user,item", *rows]))
    done = robench(tmp_path, "plan", "mine.yaml")
    assert done.returncode == 0, done.stderr
    assert "mf[factors=32]" in done.stdout


@pytest.fixture(scope="module")
def cache_of_all(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache-of-all"))


def test_there_are_suites():
    assert len(SUITES) > 10


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_suite_of_the_repository_can_be_planned(tmp_path, cache_of_all, path):
    done = robench(tmp_path, "plan", str(path), ROBENCH_CACHE=cache_of_all)
    if not done.stderr:
        assert done.returncode == 0
        return
    assert done.returncode == 2
    for line in done.stderr.strip().splitlines():  # data that may not be shipped
        assert line.startswith("a run would end here: "), line
        assert "ml-100k" in line, line
        assert "no such" in line, line


def test_what_the_readme_names_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, re.M):
        assert f"\n{target}:" in makefile
    listed = robench(ROOT, "plugins").stdout
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", README, re.M)
    assert {name for name, _ in rows} == {"embedding", "parameters", "history", "text", "interactions"}
    for _, attacks in rows:
        for name in re.findall(r"`([\w-]+)`", attacks):
            assert f" {name} " in listed, name
