"""Tests the start page of a site in a browser, on made-up cards."""

import pytest
from tests.report.browser import Tab

from robench.report.site import Card, order_cards, to_start_page

HOSTILE = "<script>alert(1)</script>"


def card(suite, date="", best="mf, none (.1 under attack)"):
    return Card(
        suite.strip("<>/()"), suite, ["Sentence."], [("table", best)], "1 row.", "", date, "0" * 64, 10, 3
    )  # fmt: skip


CARDS = order_cards(
    [
        card("zebra", "2026-01-01", "lstm, apr λ=0.5"),
        card("apple"),
        card("middle", "2026-11-30", "sasrec, pgd training"),
        card(HOSTILE, "2025-01-01"),
    ]
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("site") / "index.html"
    path.write_text(to_start_page(CARDS, "docs/"), "utf-8")
    return path


def shown(tab):
    return [h.inner_text() for h in tab.page.locator("#boards h2").all() if h.is_visible()]


def test_cards_are_ordered_by_date_and_the_undated_come_last():
    assert [one.suite for one in CARDS] == ["middle", "zebra", HOSTILE, "apple"]


def test_a_search_shows_the_boards_with_all_words_and_keeps_them_in_the_address(browser, page):
    with Tab(browser, page) as tab:
        assert shown(tab) == ["middle", "zebra", HOSTILE, "apple"]
        tab.page.get_by_label("Search boards").fill("LSTM apr")
        assert shown(tab) == ["zebra"]
        assert tab.page.locator("#count").inner_text() == "1 of 4 boards"
        assert tab.page.url.endswith("#LSTM%20apr")
        tab.page.get_by_label("Search boards").fill("nothing has this")
        assert shown(tab) == []
        assert tab.page.get_by_text("No board has all of these words.").is_visible()
        assert tab.errors == []
        assert tab.requests == [page.as_uri()]
    with Tab(browser, page, address="sasrec") as tab:
        assert shown(tab) == ["middle"]


def test_without_scripts_every_board_is_there_and_no_search_box(browser, page):
    with Tab(browser, page, java_script_enabled=False) as tab:
        assert shown(tab) == ["middle", "zebra", HOSTILE, "apple"]
        assert not tab.page.locator("#search").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_a_phone_cuts_nothing(browser, page, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-playwright-python is an extra of dev"
    )
    with Tab(browser, page, color_scheme=scheme) as tab:
        tab.page.set_viewport_size({"width": 390, "height": 800})
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390
        found = axe.Axe().run(tab.page).response["violations"]
        assert [(one["id"], one["impact"]) for one in found] == []
