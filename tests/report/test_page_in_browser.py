"""Tests the page in a browser, on committed boards."""

import csv
import io
import json
import re
from urllib.parse import unquote

import pytest
from tests.docs.pages import ROOT
from tests.fakes import EMBEDDING, World, ranks
from tests.report.browser import Tab
from tests.report.printed import read_sheets

from robench.report.page import to_page
from robench.report.site.docs import find_linked_pages, to_missing_page

ROWS = json.loads((ROOT / "results/whitebox/leaderboard.json").read_text("utf-8"))["tables"][0]["rows"]
BOARDS = ("whitebox", "text", "corruption")
FAKE_USERS = ("", "-attacks", "-filters", "-ml-100k")  # the ends of the names of these boards
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
COLUMNS = """[...document.querySelectorAll('#board-1-t thead th')].filter(e => e.checkVisibility())
  .map(e => e.getBoundingClientRect().width)"""
CELLS = """[...document.querySelector('#board-1-t > tbody > tr:not([hidden], .more)').cells]
  .map(e => e.getBoundingClientRect().width).filter(Boolean)"""
FIGURE = "https://figure.test/"
# Links the caption and the end of every visible picture to an address of this picture, which the print keeps.
MARK_FIGURES = f"""[...document.querySelectorAll('figure')].filter(e => e.checkVisibility()).map((e, i) => {{
  const link = text => Object.assign(document.createElement('a'), {{ href: '{FIGURE}' + i, textContent: text }});
  e.querySelector('figcaption').prepend(link('start'));
  e.append(link('end'));
}}).length"""
PAPER = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def tab(browser):
    """The page of a board with many rows, for tests that put everything back."""
    with Tab(browser, page_of("whitebox")) as tab:
        yield tab


def page_of(board):
    return ROOT / "results" / board / "index.html"


def address(tab):
    return unquote(tab.page.evaluate("location.hash"))


def press(tab, name, board="board-1"):
    tab.page.locator(f"#{board} .tools button", has_text=re.compile(f"^{name}$")).click()


WIDE_BOARDS = [*("whitebox", "history", "llm", "corruption"), *(f"poisoning{end}" for end in FAKE_USERS)]


@pytest.mark.parametrize("board", WIDE_BOARDS)
def test_the_verdict_of_each_row_is_on_a_screen_of_1280_pixels(browser, board):
    """These boards have the longest flags, or a column for the null control."""
    with Tab(browser, page_of(board)) as tab:
        ends = tab.page.evaluate(
            """[...document.querySelectorAll('th[data-k=verdict]')].map(e =>
                 e.getBoundingClientRect().right - e.closest('.scroll').getBoundingClientRect().right)"""
        )
        assert ends
        assert max(ends) <= 0


@pytest.mark.parametrize("board", BOARDS)
def test_a_page_opens_without_errors_and_asks_for_nothing_else(browser, board):
    with Tab(browser, page_of(board)) as tab:
        assert tab.page.title() == f"{board}: robench"
        assert tab.errors == []
        assert tab.requests == [page_of(board).as_uri()]


def test_a_page_of_a_site_opens_the_documentation_without_a_server(browser, tmp_path):
    """A browser shows the files of a folder if a link names the folder."""
    board = tmp_path / "boards" / "whitebox" / "index.html"
    board.parent.mkdir(parents=True)
    board.write_text(page_of("whitebox").read_text("utf-8"), "utf-8")
    pages = find_linked_pages([board.read_text("utf-8")])
    for name in pages:
        page = tmp_path / "docs" / f"{name}.md" / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text(to_missing_page(name), "utf-8")
    with Tab(browser, board) as tab:
        links = [link.get_attribute("href") for link in tab.page.locator("#reading a").all()]
        tab.page.locator("#reading a").first.click()
        tab.page.wait_for_load_state()
        assert "This site was built without the documentation" in tab.page.inner_text("body")
    assert len({link.partition("/index.html")[0] for link in links}) == len(pages)
    with Tab(browser, page_of("whitebox")) as tab:
        assert tab.page.locator("#reading a").first.get_attribute("href").partition("#")[0].endswith(".md")


def test_the_top_of_a_page_says_how_a_board_was_measured_and_leads_to_the_rest(tab):
    top = tab.page.locator("header")
    assert "with robench 0.1.0, python 3" in top.inner_text()
    assert "AMD EPYC, cpu, 1 thread" in top.inner_text()
    assert "robench run results/whitebox/suite.yaml" in top.inner_text()
    (target,) = top.locator("a").all()
    assert "@misc{robench-whitebox," in tab.page.locator(target.get_attribute("href")).inner_text()


def test_a_filter_leaves_the_rows_with_all_its_words(tab):
    search = tab.page.locator("#board-1 input[type=search]")
    search.fill("SASRec pgd")
    assert {(row["model"], row["defence"]) for row in tab.rows()} == {("sasrec", "pgd training λ=0.5")}
    assert tab.page.locator("#board-1 [role=status]").inner_text() == f"1 of {len(ROWS)} rows"
    assert "board-1-t.q=SASRec pgd" in address(tab)
    search.fill("")
    assert len(tab.rows()) == len(ROWS)
    assert address(tab) == ""


def test_a_column_sorts_by_numbers_both_ways_and_rows_without_one_come_last(tab):
    head = tab.page.locator("#board-1 th[data-k=worst] button")
    for order, reverse in (("ascending", False), ("descending", True)):
        head.click()
        values = [row["worst"].split()[0] for row in tab.rows()]
        numbers = [float(value) for value in values if value != "–"]
        assert len(numbers) == len([row for row in ROWS if row["worst"] is not None])
        assert numbers == sorted(numbers, reverse=reverse)
        assert values[-1] == "–", "popularity has no worst case"
        assert tab.page.locator("#board-1 th[data-k=worst]").get_attribute("aria-sort") == order
    assert "board-1-t.sort=-worst" in address(tab)
    press(tab, "standard")
    assert [row["model"] for row in tab.rows()] == [row["model_label"] for row in ROWS]


def test_numbers_of_different_lengths_sort_by_their_values(tab):
    tab.page.locator("#board-1 th[data-k=rank] button").click()
    texts = [row["rank"] for row in tab.rows() if row["rank"]]
    values = [int(text.split()[0]) for text in texts]
    assert values == sorted(values)
    assert texts != sorted(texts), "the order of the texts is another one"
    press(tab, "standard")


def test_presets_and_the_column_chooser_show_what_they_say(tab):
    press(tab, "one line per model")
    assert [row["model"] for row in tab.rows()] == [*dict.fromkeys(row["model_label"] for row in ROWS)]
    assert {row["rank"].partition(" ")[0] for row in tab.rows()[:-1]} == {"1"}
    press(tab, "worst case")
    rows = tab.rows()
    assert list(rows[0]) == ["rank", "model", "defence", "clean", "worst", "change", "flags"]
    worst = [float(row["worst"].split()[0]) for row in rows[:-1]]
    assert worst == sorted(worst, reverse=True)
    press(tab, "everything")
    shown = list(tab.rows()[0])
    assert {"recall@10:clean", "recall@10:attacked", "mrr@10:clean"} <= {*shown}, "other metrics appear"
    press(tab, "standard")
    assert "recall@10:clean" not in tab.rows()[0]
    chooser = tab.page.locator("#board-1 .tools details")
    chooser.locator("summary").click()
    chooser.get_by_label("verdict", exact=True).uncheck()
    assert "verdict" not in tab.rows()[0]
    press(tab, "standard")
    chooser.locator("summary").click()
    assert "verdict" in tab.rows()[0]


def test_complete_rows_only_hides_rows_without_some_cells(browser):
    with Tab(browser, ROOT / "results" / "llm" / "index.html") as tab:
        before = tab.rows()
        press(tab, "complete rows only")
        after = tab.rows()
        assert after == [row for row in before if "unranked:" not in row["flags"] and "incomplete" not in row["flags"]]
        assert 0 < len(after) < len(before)


def test_two_rows_are_compared_with_their_difference(tab):
    for row in (1, 3):
        tab.page.locator(f"#board-1-{row} input").check()
    lines = tab.page.evaluate(
        "[...document.querySelectorAll('#board-1 .compare tr')].map(tr => [...tr.cells].map(td => td.textContent))"
    )
    table = {line[0]: line[1:] for line in lines}
    one, two = tab.rows()[0], tab.rows()[2]
    assert table["defence"] == [one["defence"], two["defence"], ""]
    assert table["worst case"][:2] == [one["worst"], two["worst"]]
    worst = [float(row["worst"].split()[0]) for row in (one, two)]
    assert float(table["worst case"][2]) == pytest.approx(worst[1] - worst[0], abs=1e-9)
    assert "board-1-t.compare=1,3" in address(tab)
    tab.page.locator("#board-1-5 input").check()
    assert "board-1-t.compare=3,5" in address(tab)
    heads = tab.page.locator("#board-1 .compare tr", has_text="verdict").first.locator("td")
    assert heads.all_inner_texts()[:2] == [tab.rows()[2]["verdict"], tab.rows()[4]["verdict"]]
    assert not tab.page.locator("#board-1-1 input").is_checked()
    tab.page.locator("#board-1 .compare button").click()
    assert tab.page.locator("#board-1 .compare table").count() == 0


def test_what_is_seen_is_copied_and_downloaded_as_csv(tab):
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.page.locator("#board-1 input[type=search]").fill("lstm")
    press(tab, "copy as CSV")
    tab.page.locator("#board-1 [role=status]", has_text="copied").wait_for()
    copied = tab.page.evaluate("navigator.clipboard.readText()")
    with tab.page.expect_download() as download:
        press(tab, "download CSV")
    with open(download.value.path(), encoding="utf-8", newline="") as file:
        assert file.read() == copied
    rows = list(csv.DictReader(io.StringIO(copied)))
    assert [list(row.values()) for row in rows] == [list(row.values()) for row in tab.rows()]
    assert rows[0]["model"] == "lstm"
    tab.page.locator("#board-1 input[type=search]").fill("")


def test_a_copied_label_is_no_formula(browser):
    with Tab(browser, page_of("corruption")) as tab:
        tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
        place = "document.querySelector('#board-1-t > tbody > tr > th')"
        tab.page.evaluate(f"{place}.textContent = '=1+1'")
        press(tab, "copy as CSV")
        tab.page.locator("#board-1 [role=status]", has_text="copied").wait_for()
        first = next(csv.DictReader(io.StringIO(tab.page.evaluate("navigator.clipboard.readText()"))))
        assert first["model"] == "'=1+1"


def test_a_row_opens_its_details_by_the_keyboard(tab):
    more = tab.page.locator("#board-1-2 + tr.more")
    assert not more.is_visible()
    opener = tab.page.locator("#board-1-2 summary")
    opener.focus()
    tab.page.keyboard.press("Enter")
    text = more.inner_text()
    row = tab.rows()[1]
    assert text.startswith(f"rank {row['rank']}; {row['verdict']}")
    assert "robench run results/whitebox/suite.yaml --results again/whitebox" in text
    assert re.search(r"seed 0:\s*[0-9a-f]{16} \([0-9a-f]{12}\)", text), "a record and its hash"
    assert "pgd-40" in text, "members of the ensemble"
    tab.page.wait_for_function("location.hash.includes('board-1-t.open=2')")  # toggle events come late
    tab.page.keyboard.press("Enter")
    assert not more.is_visible()
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.type") == "checkbox"


def test_the_address_brings_the_view_back(browser):
    view = "board-1-t.q=lstm&board-1-t.sort=-worst&board-1-t.cols=model,worst&board-1-t.open=14&board-1-t.compare=13,14"
    with Tab(browser, page_of("whitebox"), view) as tab:
        rows = tab.rows()
        assert {row["model"] for row in rows} == {"lstm"}
        assert list(rows[0]) == ["model", "worst"]
        worst = [float(row["worst"].split()[0]) for row in rows]
        assert worst == sorted(worst, reverse=True)
        assert tab.page.locator("#board-1-14 + tr.more").is_visible()
        assert tab.page.locator("#board-1 .compare table").is_visible()
        assert len(tab.rows("board-2")) == len(ROWS), "another table has its own view"


def test_the_address_brings_presets_back(browser):
    view = "board-1-t.preset=one line per model&board-2-t.preset=worst case&board-2-t.q=lstm"
    with Tab(browser, page_of("whitebox"), view) as tab:
        assert [row["model"] for row in tab.rows()] == [*dict.fromkeys(row["model_label"] for row in ROWS)]
        assert list(tab.rows("board-2")[0]) == ["rank", "model", "defence", "clean", "worst", "change", "flags"]
        assert {row["model"] for row in tab.rows("board-2")} == {"lstm"}
        press(tab, "standard")
        assert len(tab.rows()) == len(ROWS)
        assert "board-1" not in address(tab)
    with Tab(browser, page_of("llm"), "board-1-t.complete=1") as tab:
        assert not [row for row in tab.rows() if "unranked:" in row["flags"] or "incomplete" in row["flags"]]
        kept = tab.rows()
        press(tab, "complete rows only")
        assert len(tab.rows()) > len(kept)
        assert address(tab) == ""


@pytest.mark.parametrize("view", ["board-1-t.q=%", "board-1-t.sort=nothing&board-1-t.compare=0,99999&x", "=&&="])
def test_a_damaged_address_changes_nothing(browser, view):
    with Tab(browser, page_of("whitebox"), view) as tab:
        assert len(tab.rows()) == len(ROWS)
        assert tab.page.locator("#board-1 .tools").count() == 1
        assert tab.errors == []


def test_a_table_with_many_rows_keeps_its_columns_and_can_be_searched(browser, tmp_path):
    path = tmp_path / "index.html"
    text = page_of("whitebox").read_text("utf-8")
    script = (ROOT / "benchmark/robench/report/page/script.js").read_text("utf-8")
    assert "const MANY = 200;" in script
    start = text.index("<script>") + len("<script>")
    text = text[:start] + script.replace("const MANY = 200;", "const MANY = 20;") + text[text.index("</script>") :]
    path.write_text(text, "utf-8")
    with Tab(browser, page_of("whitebox")) as tab:
        widths = tab.page.evaluate(COLUMNS)
    with Tab(browser, path) as tab:
        assert tab.page.locator("#board-1-t.many").count() == 1
        assert tab.page.evaluate(COLUMNS) == pytest.approx(widths, abs=1)
        assert tab.page.evaluate("find('popularity')"), "the browser searches rows that are not on the screen"
        tab.page.locator("#board-1 input[type=search]").fill("sasrec pgd")
        assert len(tab.rows()) == 1
        more = tab.page.locator("#board-1-t tr.more >> visible=true")
        tab.page.locator("#board-1-t tbody summary >> visible=true").click()
        assert more.bounding_box()["width"] == pytest.approx(sum(widths), abs=2)
        press(tab, "worst case")
        assert len(chosen := tab.page.evaluate(COLUMNS)) == 8
        tab.page.locator("#board-1-t > tbody > tr:not([hidden], .more)").first.scroll_into_view_if_needed()
        assert tab.page.evaluate(CELLS) == pytest.approx(chosen, abs=1)
        assert tab.errors == []


def test_dark_mode_has_no_white_boxes(browser):
    with Tab(browser, page_of("whitebox"), color_scheme="dark") as tab:
        assert tab.page.evaluate(PAPER) == "rgb(22, 24, 29)"
        light = tab.page.evaluate(
            """[...document.querySelectorAll('body *')].filter(e => {
                 const parts = getComputedStyle(e).backgroundColor.match(/[\\d.]+/g).map(Number);
                 return (parts[3] === undefined || parts[3] > .3) && parts[0] + parts[1] + parts[2] > 400;
               }).map(e => e.outerHTML.slice(0, 100))"""
        )
        assert light == []
        ink = tab.page.evaluate("getComputedStyle(document.querySelector('figure svg text')).fill")
        assert ink == "rgb(228, 231, 236)"


@pytest.mark.parametrize("board", ["whitebox", "article"])  # the largest and the smallest
def test_a_print_has_no_empty_pages_and_each_picture_is_on_a_page_of_its_own(browser, board):
    with Tab(browser, page_of(board), viewport={"width": 718, "height": 1000}) as tab:  # A4 without margins of 1 cm
        tab.page.emulate_media(media="print")
        assert not tab.page.locator("#board-1 .tools").is_visible()
        assert tab.page.evaluate(WIDE) == 0, "no table is wider than the paper"
        count = tab.page.evaluate(MARK_FIGURES)
        sheets = read_sheets(tab.page.pdf(format="A4"))
    assert count > 1
    assert 3 < len(sheets) < 40
    assert min(sheet.marks for sheet in sheets) > 20, "no page is empty"
    figures = [{link for link in sheet.links if link.startswith(FIGURE)} for sheet in sheets]
    assert max(map(len, figures)) == 1, "at most one picture is on a page"
    assert sum(map(len, figures)) == count, "no picture is on two pages"


def test_the_page_is_readable_without_scripts(browser):
    with Tab(browser, page_of("whitebox"), java_script_enabled=False) as tab:
        assert tab.page.locator("#board-1 tbody > tr:not(.more) >> visible=true").count() == len(ROWS)
        assert not tab.page.locator("#board-1-1 + tr.more").is_visible()
        tab.page.locator("#board-1-1 summary").click()
        assert tab.page.locator("#board-1-1 + tr.more").is_visible()
        assert tab.page.locator("#board-1 .tools").count() == 0


def test_a_label_with_markup_is_text(browser, tmp_path):
    evil = "<script>alert(1)</script>"
    world = World(tmp_path / "w", [EMBEDDING])
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed, model=evil)
        for epsilon in (0.01, 0.05):
            world.cell(ranks(50, 99), seed=seed, model=evil, attack=evil, epsilon=epsilon)
    path = tmp_path / "index.html"
    path.write_text(to_page(world.build()), "utf-8")
    with Tab(browser, path) as tab:
        asked = []
        tab.page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
        assert tab.rows()[0]["model"] == evil
        tab.page.locator("#board-1-1 summary").click()
        assert evil in tab.page.locator("#board-1-1 + tr.more").inner_text()
        tab.page.locator("#board-1-1 input").check()
        press(tab, "everything")
        assert asked == []
        assert tab.errors == []
        assert tab.page.locator("script").count() == 1
