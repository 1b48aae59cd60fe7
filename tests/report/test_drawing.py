"""Tests that another process draws the pictures.

If the process fails, the page is still written, but without pictures.
"""

import logging
import re

import pytest
from tests.fakes import EMBEDDING, World, ranks

from robench.report import drawing
from robench.report.drawing import DrawingError, draw_pictures
from robench.report.page import pictures, to_page

CHART = {"data": {"values": [{"x": 1}]}, "mark": "point", "encoding": {"x": {"field": "x", "type": "quantitative"}}}
DYING = "import os, signal; os.kill(os.getpid(), signal.SIGTRAP)"
FAULTS = {
    DYING: "ended by signal SIGTRAP",
    "import sys; sys.exit('\\x1b no fonts')": "ended by exit code 1: ‹U+001B› no fonts",
    "print('[1]')": "gave no pictures",
    "print('[')": "gave no pictures",
    "import time; time.sleep(60)": "took longer than",
}


@pytest.fixture
def replaced(tmp_path, monkeypatch):
    """Returns a function that replaces the drawing program with another program."""

    def replace(source):
        program = tmp_path / "program.py"
        program.write_text(source)
        monkeypatch.setattr(drawing, "PROGRAM", program)
        monkeypatch.setattr(drawing, "PATIENCE", 0.5 if "sleep" in source else 30)
        monkeypatch.setattr(drawing, "PATIENCE_EACH", 0)

    return replace


def test_charts_become_pictures_in_their_order():
    pictures = draw_pictures([CHART, {**CHART, "title": "the second"}])
    assert ["the second" in svg for svg in pictures] == [False, True]
    assert all(svg.startswith("<svg") for svg in pictures)


def test_a_chart_that_cannot_be_drawn_is_an_error_in_one_line():
    with pytest.raises(DrawingError, match="exit code 1") as caught:
        draw_pictures([{"mark": 7}])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", FAULTS)
def test_each_end_of_the_process_is_described(source, replaced):
    replaced(source)
    with pytest.raises(DrawingError, match=re.escape(FAULTS[source])):
        draw_pictures([CHART])


@pytest.fixture
def tables(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    world.cell(ranks(150, 99))
    world.cell(ranks(50, 99), attack="pgd", epsilon=0.05)
    world.cell(ranks(20, 99), attack="pgd", epsilon=0.1)
    return world.build()


def check_page(text, caplog, reason):
    assert "<svg" not in text
    assert "The pictures could not be drawn" in text
    assert ">mf</t" in text
    assert [record.getMessage() for record in caplog.records] == [f"the page is written without pictures: {reason}"]


def test_a_page_is_written_without_its_pictures_and_says_so(tables, replaced, caplog):
    replaced(DYING)
    with caplog.at_level(logging.WARNING, "robench"):
        text = to_page(tables)
    check_page(text, caplog, "the process that draws ended by signal SIGTRAP")


def test_an_error_of_the_library_that_builds_charts_costs_the_pictures_too(tables, monkeypatch, caplog):
    def fail(table, more):
        raise MemoryError("none left")

    monkeypatch.setattr(pictures, "build_curve_panels", fail)
    with caplog.at_level(logging.WARNING, "robench"):
        text = to_page(tables)
    check_page(text, caplog, "MemoryError: none left")
