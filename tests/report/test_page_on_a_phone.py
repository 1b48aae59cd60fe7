"""Tests the committed pages on a screen of 390 pixels."""

import pytest
from tests.docs.pages import ROOT
from tests.report.browser import Tab

PHONE = {"width": 390, "height": 800}
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def page_of(board):
    return ROOT / "results" / board / "index.html"


@pytest.mark.parametrize("board", ["whitebox", "text", "corruption"])
def test_a_phone_shows_everything_and_only_tables_scroll(browser, board):
    with Tab(browser, page_of(board), viewport=PHONE) as tab:
        tab.page.locator("#board-1-1 summary").click()
        tab.page.locator("#board-1 .tools details summary").click()
        assert tab.page.evaluate(WIDE) == 0
        cut = tab.page.evaluate(
            """[...document.querySelectorAll('main *')].filter(e => {
                 const box = e.getBoundingClientRect();
                 return e.checkVisibility() && box.width && box.right > innerWidth + 1
                   && !e.closest('.scroll, pre, .quiet, svg');
               }).map(e => e.outerHTML.slice(0, 100))"""
        )
        assert cut == []
        scales = tab.page.evaluate(
            """[...document.querySelectorAll('figure svg')].filter(e => e.checkVisibility()).map(e =>
                 e.getBoundingClientRect().width / e.viewBox.baseVal.width)"""
        )
        assert scales
        assert min(scales) > 0.7, "pictures stay readable"


@pytest.mark.parametrize("board", ["whitebox", "text", "poisoning-neural"])
def test_a_phone_shows_the_number_that_ranks_without_scrolling(browser, board):
    with Tab(browser, page_of(board), viewport=PHONE) as tab:
        ends = tab.page.evaluate(
            """[...document.querySelectorAll('th[data-k=worst]')].map(e => e.getBoundingClientRect().right)"""
        )
        assert ends
        assert max(ends) <= 390
        captions = tab.page.evaluate(
            """[...document.querySelectorAll('.heat caption')].map(e => e.getBoundingClientRect().right)"""
        )
        assert max(captions, default=0) <= 390


def test_a_line_says_that_a_table_scrolls_as_long_as_columns_are_hidden(browser):
    with Tab(browser, page_of("poisoning-neural"), viewport=PHONE) as tab:
        hint = tab.page.locator("#board-1 > .hint")
        hint.wait_for(state="visible")
        assert hint.text_content() == "Scroll the table sideways for more columns."
        tab.page.set_viewport_size({"width": 1400, "height": 800})
        hint.wait_for(state="hidden")
        tab.page.emulate_media(media="print")
        assert not hint.is_visible()
