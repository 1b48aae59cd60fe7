"""Tests the pages of docs/reference against the code."""

import re

import pytest
import torch
from rapidfuzz.distance import Levenshtein
from tests.docs.pages import ROOT, read, section, tables
from tools.reference import PAGE, page
from typer.main import get_command

from robench.api import Ball
from robench.api.attacks.text import edits_allowed, edits_between
from robench.api.codec import columns
from robench.api.threat import round_up
from robench.cli import app
from robench.engine.attack.draws import HOST_DRAWS
from robench.engine.surfaces.history.budget import edit_limits
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.filters import COLUMNS
from robench.store.record import new_record
from robench.suite.schema import SPLITS, RankingEntry, SuiteFile, TargetsEntry, UsersEntry
from robench.tables.cells import TimingRow, ValueRow
from robench.tables.checks import CHECKS
from robench.tables.flags import BLIND
from robench.tables.leaderboard import LeaderboardRow

SUITE, RESULTS, THREATS, MODELS, DEFENCES, COMMANDS = (
    read(f"docs/reference/{name}.md")
    for name in ("suite", "results", "threat-models", "models", "defences", "commands")
)
LEADERBOARDS = read("docs/guide/reading-a-leaderboard.md")


@pytest.fixture(scope="module")
def registry():
    return Registry.of(Host.discover())


def built_in(registry, kind):
    return {entry.name for entry in registry.entries[kind] if entry.distribution == "robench"}


def test_the_page_of_plugins_is_what_the_code_says():
    assert PAGE.read_text("utf-8") == page(), "run python tools/reference.py"


def test_every_plugin_and_every_setting_is_on_that_page(registry):
    text = PAGE.read_text("utf-8")
    for kind in registry.entries:
        for name in built_in(registry, kind):
            assert re.search(rf"^### `{re.escape(name)}(@k)?`$", text, re.M), name
            for setting, field in registry.load(kind, name).Config.model_fields.items():
                assert re.search(rf"\| `{re.escape(field.alias or setting)}(\.\w+)?` \|", text), (name, setting)


def test_every_setting_has_a_meaning():
    rows = [row for table in tables(PAGE.read_text("utf-8")) for row in table]
    assert not [row["setting"] for row in rows if not row["meaning"]]


def test_what_a_suite_takes_is_listed(registry):
    splits = [name for split in SPLITS.values() for name in split.model_fields]
    models = [name for model in (TargetsEntry, UsersEntry, RankingEntry) for name in model.model_fields]
    for name in (*SuiteFile.model_fields, *SPLITS, *splits, *models, *COLUMNS):
        assert re.search(rf"`[^`]*\b{re.escape(name)}\b[^`]*`", SUITE), name
    documented = set(re.findall(r"^\| `([a-z0-9-]+)(?:@k)?` \|", section(SUITE, "`metrics`"), re.M))
    assert documented == built_in(registry, "metric")


def test_the_defaults_of_targets_and_rankings_are_told():
    part, default = section(SUITE, "`targets`"), TargetsEntry()
    assert f"`count` ({default.count})" in part
    assert f"`sets` ({default.sets})" in part
    assert f"`pick: {default.pick}`" in part
    (rows,) = tables(section(SUITE, "`ranking`"))
    told = {key.strip("`"): row["default"] for row in rows for key in row["key"].split(", ")}
    assert set(told) == set(RankingEntry.model_fields)
    for key in ("metric", "goal", "k"):
        assert told[key].strip("`") == str(RankingEntry.model_fields[key].default)


def test_every_command_and_every_option_is_listed():
    commands = get_command(app).commands
    assert set(re.findall(r"^\| `robench ([\w-]+)", COMMANDS, re.M)) == set(commands)
    rows = re.findall(r"^\| `(--[a-z]+)", section(COMMANDS, "Options of `run` and `plan`"), re.M)
    options = {option for name in ("run", "plan") for parameter in commands[name].params for option in parameter.opts}
    assert set(rows) == {option for option in options if option.startswith("--")}


def test_every_attack_and_every_defence_is_explained(registry):
    for kind, text in (("attack", THREATS), ("defense", DEFENCES)):
        for name in built_in(registry, kind):
            assert f"`{name}`" in text, name


def test_every_model_has_its_row(registry):
    rows = re.findall(r"^\| (`.*?) \|", MODELS.partition("## ")[0], re.M)
    named = {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row)}
    assert named == built_in(registry, "model")


def test_every_column_and_every_part_of_a_record_is_explained():
    header = section(RESULTS, "Columns")
    for name in {*columns(ValueRow), *columns(LeaderboardRow)}:
        assert f"`{name}`" in header, name
    timings = columns(TimingRow)
    for name in timings[timings.index("seconds") :]:
        assert f"`{name}`" in section(RESULTS, "`timings.csv`"), name
    record = section(RESULTS, "A record")
    for name in set(new_record("", "", "ok")) - {"format_version", "protocol_version"}:
        assert f"`{name}`" in record, name


def test_every_file_of_a_folder_is_explained():
    files = section(RESULTS, "Files")
    for path in (ROOT / "results" / "article").iterdir():
        assert f"`{path.name}" in files, path.name


def test_every_flag_is_explained():
    flags = RESULTS.partition("\n## Flags\n")[2]
    modules = ("checks", "comparisons", "diagnoses", "flags", "members", "ranking")
    code = "".join(read(f"benchmark/robench/tables/{name}.py") for name in modules)
    checks = {check.flag for check in CHECKS}
    names = checks | set(re.findall(r'(?:Flag\(|Comparison\(|return|relation =)\s*f?"([^"]+)", ', code)) | set(BLIND)
    assert len(names) > 16
    for name in names:
        plain = name.removeprefix("{name} ").partition("{")[0]
        words = [word for word in re.split(r"[^\w,]+", plain) if word]
        assert words
        assert re.search(r"\W+(\w\W+)?".join(map(re.escape, words)), flags), name


def test_flags_that_take_the_rank_are_named():
    (told,) = re.findall(r"^### Inside an ensemble\n.*?\*\*take the row's rank\*\*", RESULTS, re.M | re.S)
    assert all(f"`{name}`" in told for name in BLIND)


def test_the_kinds_of_attack_are_those_of_their_classes(registry):
    part = section(THREATS, "Kinds of attack")
    rows = dict(re.findall(r"^\| ([a-z-]+)(?: \([a-z-]+\))? \|[^|]*\|(.*)\|$", part, re.M))
    rows.pop("kind")
    kinds = {name: kind for kind, cells in rows.items() for name in re.findall(r"`([a-z-]+)`", cells)}
    assert {"pgd", "cw", "random-search", "random-noise", "auto", "greedy-gradient"} <= set(kinds)
    for name, kind in kinds.items():
        assert registry.load("attack", name).kind() == kind, name


def test_the_members_of_auto_are_listed_in_order(registry):
    auto = registry.load("attack", "auto")
    for surface in ("embedding", "parameters", "history"):
        (row,) = re.findall(rf"^\| `{surface}` \| (`random-.*) \|$", THREATS, re.M)
        made = auto.make(surface=surface)
        members = made.members(gradients=True, stochastic=False)
        assert f"`auto@{made.config.version}` on `{surface}`" in THREATS
        told = re.findall(r"`([a-z0-9-]+)`([^`]*)", row)
        assert [name for name, _ in told] == [m.name for m in members]
        for place, (member, (_, words)) in enumerate(zip(members, told, strict=True)):
            assert surface == "parameters" or ("**everyone**" in words) == member.everyone, member.name
            # If neighbouring members share numbers, the page states the numbers once, after the last of these members.
            numbers = next((n for _, w in told[place:] if (n := re.findall(r"(\d+) (\w+)", w))), [])
            for number, unit in numbers if not member.name.startswith(("pgd-", "greedy-")) else ():
                setting = {"searches": "search"}.get(unit, unit)
                assert getattr(member.attack.config, setting) == int(number), (member.name, unit)


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
    least = [5**-0.5, 5**-0.5 / (2 * 2**0.5)]
    for number in least:
        assert f"{number:.3f}" in THREATS
    moved = p + Ball("l2", torch.tensor([0.5 * 2**0.5])).ascent(gradient)["x"][0]
    known = [0.5 * 2**0.5, *moved, *(moved - p).abs(), 2 * moved[1], *least]
    example = THREATS.partition("**Example**")[2].partition("**ε is relative**")[0]
    assert set(re.findall(r"\d\.\d{3}", example)) == {f"{float(number):.3f}" for number in known}
    assert f"{(64 * 50) ** 0.5:.1f}" in THREATS
    (picture,) = re.findall(r"```\n(genuine +Toy Story  .*?)```", THREATS, re.S)
    lists = [re.findall(r"Toy Story|Alien|Fargo|Heat|Babe", line) for line in picture.splitlines()]
    assert [Levenshtein.distance(lists[0], row) for row in lists[1:]] == [1, 1, 1, 2]
    assert edit_limits(0.1, "relative", torch.tensor([25, 7])).tolist() == [2, 1]
    assert edit_limits(0.05, "absolute", torch.tensor([25])).tolist() == [0]
    assert round_up(0.01, 671) == 7
    assert f"the host takes {HOST_DRAWS} scorings" in THREATS


def test_edits_of_titles_are_counted_as_told():
    (picture,) = re.findall(r"```\n(genuine +Toy Story\n.*?)```", THREATS, re.S)
    genuine, *rows = [re.split(r" {2,}", line) for line in picture.splitlines()]
    assert len(rows) == 5
    for told, title, _ in rows:
        assert int(told.split()[0]) == edits_between(genuine[1], title, "words")
    assert edits_allowed("Toy Story", 0.34, "words") == 1
    assert edits_allowed("a b c d e f", 0.34, "words") == 2


def test_the_weights_of_apr_are_those_of_the_formula():
    (row,) = [t for t in tables(DEFENCES) if "λ" in t[0]]
    for weight, told in list(row[0].items())[1:]:
        assert f"{(1 - float(weight)) / float(weight):.2g}" == told.split()[0], weight


def test_the_row_of_the_guide_is_a_committed_one():
    (row,) = tables(section(LEADERBOARDS, "A row"))[0]
    committed = tables(read("results/whitebox/leaderboard.md"))[0]
    assert row in committed
