"""Tests that the README is short, and that its commands and attacks exist."""

import json
import re

from tests.docs.pages import ROOT, read

from robench.report.numbers import format_number

README = read("README.md")


def test_its_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^make (\w+)", README, re.M)
    assert targets == ["run", "test"]
    for target in targets:
        assert f"\n{target}:" in makefile


def test_the_attacks_that_it_lists_by_surface_are_plugins(robench):
    listed = robench(ROOT, "plugins").stdout
    rows = re.findall(r"^\| `(\w+)` \|.*\| (.*) \|$", README, re.M)
    assert {name for name, _ in rows} == {"embedding", "parameters", "history", "text", "interactions"}
    for _, attacks in rows:
        for name in re.findall(r"`([\w-]+)`", attacks):
            assert f" {name} " in listed, name


def test_it_can_be_read_to_the_end():
    assert len(README.splitlines()) <= 120
    for heading in ("## Two commands", "## What comes out", "## What is attacked", "## A suite", "## A plugin"):
        assert f"\n{heading}\n" in README


def test_its_picture_has_the_values_of_a_committed_board():
    (name,) = re.findall(r"!\[[^]]*\]\((.*?)\)", README)
    table = json.loads((ROOT / "results" / "models" / "leaderboard.json").read_text("utf-8"))["tables"][0]
    points = re.findall(r'aria-label="([^"]*)" role="graphics-symbol" aria-roledescription="point"', read(name))
    shown = {label.rpartition(": ")[0]: label.rpartition(": ")[2].split()[0] for label in points}
    values = {}
    for row in table["rows"]:
        for when, value in (("clean", row["clean"]), ("attacked", row["worst"])):
            if value is not None:
                values[f"{row['model_label']}, none, {when}"] = format_number(value)
    assert shown == values, "run python tools/pictures.py"
    assert len(table["rows"]) == 9
    assert "NDCG@10 of nine recommenders, clean and under attack" in README
