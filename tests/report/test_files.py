"""Tests that labels and errors are inert in every file of the leaderboard."""

import csv
import io
import json
import math
from dataclasses import dataclass

import pytest
from markdown_it import MarkdownIt
from tests.fakes import EMBEDDING, World, ranks

from robench.report.files import build_texts, round_numbers, to_csv
from robench.report.page import to_page

LABELS = ('=HYPERLINK("http://x")', "-1", "@SUM(1)", "[x](javascript:alert(1))", "<script>alert(1)</script>", "a\\|b")
ERROR = "\x1b[2J\0\u202e\x9b<img src=x onerror=y>" + "long " * 50_000


@dataclass(frozen=True)
class Row:
    text: str
    number: float | None


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    world = World(tmp_path_factory.mktemp("w"), [EMBEDDING])
    for label in LABELS:
        world.cell(ranks(150, 99), model=label)
        error = {"type": "ValueError", "message": ERROR, "traceback": ERROR}
        world.cell(ranks(50, 99), model=label, attack="pgd", epsilon=0.05, status="failed", error=error)
    return world.build()


@pytest.fixture(scope="module")
def texts(tables):
    return build_texts(tables)


def test_no_file_has_control_characters_or_long_errors(tables, texts):
    for name, text in {**texts, "index.html": to_page(tables)}.items():
        assert len(text) < 100_000, name
        assert not set(text) & set("\x1b\0"), name
        if name != "leaderboard.json":  # JSON keeps these two characters
            assert not set(text) & set("\u202e\x9b"), name


def test_labels_in_csv_are_no_formulas_and_numbers_stay(texts):
    rows = list(csv.DictReader(io.StringIO(texts["cells.csv"])))
    assert {row["model_label"].removeprefix("'") for row in rows} == set(LABELS)
    assert not any(row["model_label"].startswith(("=", "+", "-", "@")) for row in rows)
    assert to_csv(Row, [Row("-0.5", -0.5)]) == "text,number\n'-0.5,-0.5\n"


def test_markdown_has_no_links_and_its_tables_keep_their_columns(texts):
    html = MarkdownIt().enable("table").render(texts["leaderboard.md"])
    assert "<a " not in html
    assert "<script" not in html
    assert "<td>a\\|b</td>" in html
    rows = [row for row in html.split("<tr>") if "a\\|b" in row]
    assert rows
    assert {row.count("<td") for row in rows} == {html.split("<tr>")[1].count("<th")}


def test_the_json_is_valid(texts):
    assert json.loads(texts["leaderboard.json"])["failures"]


def test_every_label_stays_in_its_column():
    labels = ['a, "b"', "back\\slash"]
    text = to_csv(Row, [Row(label, 0.5) for label in labels])
    assert list(csv.reader(io.StringIO(text))) == [["text", "number"], *([label, "0.5"] for label in labels)]


def test_a_missing_value_is_an_empty_field():
    text = to_csv(Row, [Row("a", value) for value in (None, math.nan, math.inf, 1 / 3)])
    assert text.splitlines()[1:] == ["a,", "a,", "a,", "a,0.3333333333"]


def test_json_has_null_for_what_is_no_number():
    rounded = round_numbers({"a": [math.nan, -math.inf, 1 / 3], "b": {"c": None}})
    assert json.dumps(rounded, allow_nan=False) == '{"a": [null, null, 0.3333333333], "b": {"c": null}}'
