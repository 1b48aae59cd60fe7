"""The code and the lists of docs/ hold."""

import re
from pathlib import Path

import pytest
import torch
from rapidfuzz.distance import Levenshtein
from tests.forked import conformance, robench

from robench.api import Ball
from robench.api.attacks.text import edits_allowed, edits_between
from robench.engine.attack.draws import LOOKS
from robench.engine.fit.poisoning import budget_of
from robench.engine.surfaces.history.arena import budget_in_edits
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.filters import MATCHES
from robench.plan.plan import make_plan
from robench.suite.load import load_suite
from robench.suite.schema import SPLITS, RankingEntry, SuiteFile, TargetsEntry, UsersEntry
from robench.tables.build import TIMINGS
from robench.tables.flags import BLIND

ROOT = Path(__file__).resolve().parents[2]
SUITE, TABLES, PLUGINS, THREATS, MODELS = (
    (ROOT / "docs" / f"{name}.md").read_text("utf-8")
    for name in ("suite", "tables", "plugins", "threat-models", "models")
)
PLUGIN_NAMES = ("average", "together", "noise", "squash", "forget", "borrow", "duo")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


@pytest.fixture
def plugins(tmp_path):
    names = [name for plugin in PLUGIN_NAMES for name in (f"{plugin}.py", f"test_{plugin}.py")]
    for name, text in zip(names, blocks(PLUGINS, "python"), strict=True):
        assert f"`{name}`" in PLUGINS
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_plugins_run_in_their_suite(plugins):
    (text,) = blocks(PLUGINS, "yaml")
    (plugins / "mine.yaml").write_text(text)
    done = robench(plugins, "run", "mine.yaml", PYTHONPATH=".", ROBENCH_PLUGINS=",".join(PLUGIN_NAMES))
    assert done.returncode == 0, done.stderr
    table = (plugins / "results" / "mine" / "leaderboard.csv").read_text()
    assert "average-net" in table
    assert ",together/together,together,none," in table
    assert "noise-training" in table
    assert "squash" in table
    assert "duo@1" in table
    assert "forget-latest" in (plugins / "results" / "mine" / "cells.csv").read_text()


def test_the_plugins_pass_their_conformance_tests(plugins):
    names = [f"test_{name}.py" for name in PLUGIN_NAMES]
    done = conformance(plugins, "-v", *names)
    assert done.returncode == 0, done.stdout
    for name in names:
        assert f"{name}::" in done.stdout


def test_the_suite_with_every_key_is_planned_and_has_them_all(tmp_path):
    (text,) = blocks(SUITE, "yaml")
    assert set(re.findall(r"^(\w+):", text, re.M)) == set(SuiteFile.model_fields)
    (tmp_path / "everything.yaml").write_text(text)
    done = robench(tmp_path, "plan", "everything.yaml")
    assert done.returncode == 0, done.stderr


def test_what_a_suite_takes_is_listed():
    splits = [name for split in SPLITS.values() for name in split.model_fields]
    models = [name for model in (TargetsEntry, UsersEntry, RankingEntry) for name in model.model_fields]
    for name in (*SuiteFile.model_fields, *SPLITS, *splits, *models, *MATCHES):
        assert re.search(rf"`[^`]*\b{re.escape(name)}\b[^`]*`", SUITE), name
    registry = Registry.of(Host.discover())
    documented = set(re.findall(r"^\| `([a-z0-9-]+)(?:@k)?` \|", SUITE.partition("## `metrics`")[2], re.M))
    assert documented == {entry.name for entry in registry.entries["metric"] if entry.distribution == "robench"}


def test_every_flag_is_explained():
    code = "".join(
        (ROOT / "benchmark" / "robench" / "tables" / f"{name}.py").read_text("utf-8") for name in ("flags", "members")
    )
    names = set(re.findall(r'flag\(\s*f?"([^"]+)"', code)) | set(re.findall(r'found = "([^"]+)"', code))
    names |= set(re.findall(r'yield\s+\(?\s*"([^"]+)",', code)) | set(BLIND)
    assert len(names) > 12
    for name in names:
        plain = name.removeprefix("{label} ").partition("{")[0]
        words = [word for word in re.split(r"[^\w,]+", plain) if word]
        assert words
        assert re.search(r"\W+(\w\W+)?".join(map(re.escape, words)), TABLES), name


@pytest.fixture(scope="module")
def registry():
    return Registry.of(Host.discover())


@pytest.mark.parametrize("text", blocks(THREATS, "yaml"))
def test_what_one_types_for_a_threat_model_is_planned(text, registry, tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text(f"name: t\ndatasets: [{{name: synthetic}}]\nmodels: [popularity, lstm, text-bert]\n{text}")
    suite = load_suite(path, registry)
    plan = make_plan(suite, registry)
    attacked = {c.columns()["attack_label"] for c in plan.cells if not c.skip} - {"none"}
    assert attacked == {entry.part.label for entry in suite.attacks}
    assert suite.ranking is None or len(plan.ranking) == len(suite.ranking)


def test_every_attack_and_defence_is_documented(registry):
    for kind, text in (("attack", THREATS), ("defense", SUITE)):
        for entry in registry.entries[kind]:
            if entry.distribution == "robench":
                assert f"`{entry.name}`" in text, entry.name
    for entry in registry.entries["attack"]:
        if entry.distribution == "robench":
            assert f"`{entry.name}`" in SUITE, entry.name


def test_every_model_has_its_row(registry):
    rows = re.findall(r"^\| (`.*?) \|", MODELS.partition("## ")[0], re.M)
    named = {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row)}
    assert named == {entry.name for entry in registry.entries["model"] if entry.distribution == "robench"}


def test_every_column_of_timings_is_explained():
    part = TABLES.partition("## `timings.csv`")[2].partition("\n## ")[0]
    for name in TIMINGS[TIMINGS.index("seconds") :]:
        assert f"`{name}`" in part, name


def test_the_kinds_of_attack_are_those_of_their_classes(registry):
    part = THREATS.partition("## Kinds of attack")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| ([a-z-]+)(?: \([a-z-]+\))? \|[^|]*\|(.*)\|$", part, re.M))
    rows.pop("kind")
    found = {name: kind for kind, cells in rows.items() for name in re.findall(r"`([a-z-]+)`", cells)}
    assert {"pgd", "cw", "random-search", "random-noise", "auto", "greedy-gradient"} <= set(found)
    for name, kind in found.items():
        assert registry.load("attack", name).kind() == kind, name


@pytest.mark.parametrize("kind", ["attack", "defense"])
def test_defaults_are_those_of_the_code(kind, registry):
    part = SUITE.partition({"attack": "## Attacks", "defense": "## Defences"}[kind])[2].partition("\n## ")[0]
    names = []
    for name, cells in re.findall(r"^\| `([a-z-]+)` \|(.*)\|$", part, re.M):
        config = registry.load(kind, name).Config
        names.append(name)
        for setting, told in re.findall(r"`(\w+)` \(([\w.]+)[,;: )]", cells):
            default = config.model_fields[setting].get_default()
            known = "median" if default is None else f"{default:g}" if isinstance(default, float) else str(default)
            assert told == known, (name, setting)
        for word, known in (("relative to the batch's RMS", "epsilon"), ("the length of a row's step", "epsilon")):
            for told in re.findall(rf"{word} \(([\d.]+)\)", cells):
                assert float(told) == config.model_fields[known].get_default(), name
    with_settings = {e.name for e in registry.entries[kind] if e.distribution == "robench"} - {
        "none",
        "smoothing",
        "normalise",
        "injection-filter",
    }
    assert set(names) == with_settings


def test_the_defaults_of_targets_are_told():
    part = SUITE.partition("## `targets`")[2].partition("\n## ")[0]
    default = TargetsEntry()
    assert f"`count` ({default.count})" in part
    assert f"`sets` ({default.sets})" in part
    assert f"(`pick: {default.pick}`, the default)" in part


def test_the_members_of_auto_are_listed_in_order(registry):
    auto = registry.load("attack", "auto")
    for surface in ("embedding", "parameters", "history"):
        (row,) = re.findall(rf"^\| `{surface}` \| (`random-.*) \|$", THREATS, re.M)
        told = re.findall(r"`([a-z0-9-]+)`((?: \d+ draws| \d+ queries)?(?:, )?(?: ?\(\*\*everyone\*\*\))?)", row)
        made = auto.make(surface=surface)
        members = made.members(gradients=True, stochastic=False)
        assert f"`auto@{made.config.version}` on `{surface}`" in THREATS
        assert [name for name, _ in told] == [m.name for m in members]
        numbers = {int(n) for n in re.findall(r"(\d+) (?:draws|queries|steps|searches)", row)}
        for member in members:
            config = member.attack.config.model_dump()
            for setting in ("draws", "queries", "steps", "search"):
                value = config.get(setting)
                if value is not None and not member.name.startswith(("pgd-", "greedy-")):
                    assert value in numbers, (member.name, setting)


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_the_members_of_auto_on_titles_are_listed(registry, unit):
    made = registry.load("attack", "auto").make(surface="text", unit=unit)
    assert f"`auto@{made.config.version}` on `text`" in THREATS
    (row,) = re.findall(rf"^\| `text` by {unit} \| (.*) \|$", THREATS, re.M)
    members = made.members(gradients=True, stochastic=False)
    assert re.findall(r"`([a-z-]+)`", row) == [member.name for member in members]
    assert re.findall(r"(\d+) draws", row) == [str(members[0].attack.config.draws)]


def test_the_worked_examples_are_right():
    gradient, p = {"x": torch.tensor([[-1.0, 2.0]])}, torch.tensor([3.0, 1.0])
    for norm, radius in (("l2", 0.25 * 2 * 2**0.5), ("linf", 0.25 * 2)):
        delta = Ball(norm, torch.tensor([radius])).ascent(gradient)["x"][0]
        moved = p + delta
        told = [radius, *delta.abs(), *(moved if norm == "l2" else []), moved[0], 2 * moved[1]]
        for number in told:
            assert f"{float(number):.3f}".rstrip("0").rstrip(".") in THREATS, (norm, float(number))
    for number in (5**-0.5, 5**-0.5 / (2 * 2**0.5)):
        assert f"{number:.3f}" in THREATS
    assert f"{(64 * 50) ** 0.5:.1f}" in THREATS
    (picture,) = re.findall(r"```\n(genuine +Toy Story  .*?)```", THREATS, re.S)
    lists = [re.findall(r"Toy Story|Alien|Fargo|Heat|Babe", line) for line in picture.splitlines()]
    assert [Levenshtein.distance(lists[0], row) for row in lists[1:]] == [1, 1, 1, 2]
    assert budget_in_edits(0.1, "relative", torch.tensor([25, 7])).tolist() == [2, 1]
    assert budget_in_edits(0.05, "absolute", torch.tensor([25])).tolist() == [0]
    assert budget_of(0.01, 671) == 7
    assert f"the host looks {LOOKS} times" in THREATS


def test_edits_of_titles_are_counted_as_told():
    (picture,) = re.findall(r"```\n(genuine +Toy Story\n.*?)```", THREATS, re.S)
    genuine, *rows = [re.split(r" {2,}", line) for line in picture.splitlines()]
    assert len(rows) == 5
    for told, title, _ in rows:
        assert int(told.split()[0]) == edits_between(genuine[1], title, "words")
    assert edits_allowed("Toy Story", 0.34, "words") == 1
    assert edits_allowed("a b c d e f", 0.34, "words") == 2


def test_flags_that_take_the_rank_are_named():
    (told,) = re.findall(r"^\*\*Inside an ensemble\*\*.*?\*\*take the row's rank\*\*", TABLES, re.M | re.S)
    assert all(f"`{name}`" in told for name in BLIND)
