"""Tests the numbers in the README and in docs/results.md.

The numbers of a section must occur in the committed results of one suite.
"""

import json
import re
from functools import cache

import pytest
from tests.docs.pages import ROOT, read, section, tables
from tools.pictures import LEADERBOARD, leaderboard

from robench.report.numbers import format_number

RESULTS = read("docs/results.md")
SECTIONS = re.findall(r"^## (\S+)$", RESULTS, re.M)
OPEN = "in no results folder"


@cache
def committed(suite: str) -> list[list[dict[str, str]]]:
    return tables(read(f"results/{suite}/leaderboard.md"))


@cache
def numbers(suite: str) -> set[str]:
    """Returns the numbers of a suite's committed leaderboard, as reports write them.

    Each number is also returned as a whole percentage.
    """
    values, todo = set(), [json.loads(read(f"results/{suite}/leaderboard.json"))]
    while todo:
        part = todo.pop()
        if isinstance(part, dict | list):
            todo += part.values() if isinstance(part, dict) else part
        elif isinstance(part, float):
            values |= {format_number(part), f"{100 * part:.0f}%"}
    return values


def is_committed(table: list[dict[str, str]], suite: str) -> bool:
    """Returns whether one committed table of a suite contains all rows of ``table``.

    Only the columns of ``table`` are compared.
    """
    columns = list(table[0])
    shown = {tuple(row.values()) for row in table}
    of = [rows for rows in committed(suite) if set(columns) <= set(rows[0])]
    return any(shown <= {tuple(row[column] for column in columns) for row in rows} for rows in of)


def claims(text: str) -> list[str]:
    """Returns the numbers that the prose of a section takes from a results folder.

    Paragraphs that say that their numbers are in no results folder are left out.
    """
    told = [p for p in text.split("\n\n") if OPEN not in p and not p.startswith(("|", "```"))]
    return re.findall(r"(?<![\w.])(?:\d?\.\d{4}|\d+%(?! interval))", "\n".join(told))


@pytest.mark.parametrize("suite", SECTIONS)
def test_a_section_shows_what_its_folder_holds(suite):
    text = section(RESULTS, suite)
    assert "**Question.**" in text
    assert "\n```\n" in text
    if not (ROOT / "results" / suite).exists():
        assert OPEN in text or suite == "reproduce"
        return
    shown = [table for table in tables(text) if OPEN not in next(iter(table[0]))]
    assert shown
    for table in shown:
        assert is_committed(table, suite), list(table[0])
    for claim in claims(text):
        assert claim in numbers(suite), claim


def test_every_committed_folder_has_its_section():
    assert {path.parent.name for path in (ROOT / "results").glob("*/plan.json")} <= set(SECTIONS)


@pytest.mark.parametrize("area", ["Shops", "Media", "Social networks", "Health", "Education"])
def test_the_guide_to_areas_shows_committed_numbers(area):
    text = section(read("docs/guide/domains.md"), area)
    (told,) = (p for p in text.split("\n\n") if p.startswith("**Numbers.**"))
    boards = re.findall(r"results\.md#([\w-]+)\)", told)
    assert boards
    for claim in claims(told):
        assert any(claim in numbers(board) for board in boards), claim


def test_the_readme_shows_all_victims_of_one_model():
    text = section(read("README.md"), "What comes out")
    (shown,) = tables(text)
    lstm = [row for row in committed("whitebox")[0] if row["model"] == "lstm"]
    assert [list(row.values()) for row in shown] == [[row[c] for c in shown[0]] for row in lstm]
    for claim in claims(text):
        assert claim in numbers("whitebox"), claim
    clean, worst = (float(re.match(r"[\d.]+", lstm[-2][c])[0]) for c in ("clean ndcg@10", "worst case"))
    assert lstm[-2]["defence"] == "none"
    assert round(clean / worst) == 10  # "a tenth"
    for row in lstm[:5]:
        assert 2 < float(row["worst case"][:5]) / worst < 3  # "two to three times as much"
        assert float(row["p"]) >= 0.05


def test_the_picture_is_of_the_committed_results():
    """The test compares the texts of the picture and the labels of its marks.

    Coordinates are not compared, because they depend on the fonts of the machine.
    """
    spoken = r"aria-label=\"[^\"]*\"|(?<=>)[^<>]+(?=</text>)"
    drawn = LEADERBOARD.read_text("utf-8")
    assert re.findall(spoken, drawn) == re.findall(spoken, leaderboard())
    assert "gru4rec, none, attacked: .0153 [" in drawn
