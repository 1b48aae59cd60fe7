"""Tests the page in a browser, on committed boards."""

import pytest
from tests.docs.pages import ROOT
from tests.report.browser import Tab, started

BOARDS = ("whitebox", "text", "corruption")


@pytest.fixture(scope="module")
def browser():
    with started() as browser:
        yield browser


def page_of(board):
    return ROOT / "results" / board / "index.html"


@pytest.mark.parametrize("board", BOARDS)
def test_a_page_opens_without_errors_and_asks_for_nothing_else(browser, board):
    with Tab(browser, page_of(board)) as tab:
        assert tab.page.title() == f"{board}: robench"
        assert tab.errors == []
        assert tab.requests == [page_of(board).as_uri()]


def test_a_filter_leaves_the_rows_with_all_its_words(browser):
    with Tab(browser, page_of("whitebox")) as tab:
        tab.page.locator("#board-1 input[type=search]").fill("SASRec pgd")
        rows = tab.rows()
        assert {(row["model"], row["defence"]) for row in rows} == {("sasrec", "pgd training λ=0.5")}
