"""Tests that the page, leaderboard.md and ``robench show`` agree."""

import re
from html import unescape

import pytest
from rich.console import Console
from tests.docs.pages import ROOT

from robench.entrance.tables import read_folder
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.leaderboard import build_leaderboard_grid, describe_row
from robench.report.page import to_page
from robench.report.terminal import print_leaderboard
from robench.report.verdicts import print_row
from robench.tables.build import make_tables


@pytest.fixture(scope="module", params=["text", "history", "llm"])
def board(request):
    folder = ROOT / "results" / request.param
    tables = make_tables(read_folder(folder, Registry.of(Host.discover())))
    return tables, to_page(tables, drawn=False), (folder / "leaderboard.md").read_text("utf-8")


def text_of(html):
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())


def test_every_row_of_leaderboard_md_is_on_the_page_word_for_word(board):
    tables, page, markdown = board
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()]
    for number, table in enumerate(tables.leaderboard, 1):
        for place, row in enumerate(build_leaderboard_grid(table).body, 1):
            assert list(row) in lines
            start = page.index(f'<tr id="board-{number}-{place}"')
            cells = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", page[start : page.index("</tr>", start)], re.S)
            assert [text_of(cell) for cell in cells[1 : len(row) + 1]] == [" ".join(cell.split()) for cell in row]


def test_a_row_says_on_the_page_what_robench_show_says(board, capsys):
    tables, page, _ = board
    plain = text_of(page)
    for row in tables.rows():
        console = Console(width=10_000, color_system=None)
        with console.capture() as capture:
            print_row(tables.leaderboard, row.key, console)
        said = describe_row(row)
        assert said in capture.get()
        assert " ".join(f"{said}.".split()) in plain


def test_the_terminal_prints_every_row_with_the_numbers_and_words_of_the_page(board):
    tables, page, _ = board
    console = Console(width=10_000, color_system=None)
    with console.capture() as capture:
        print_leaderboard(tables, console)
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capture.get().splitlines() if "│" in line]
    rows = re.findall(r'<tr id="board-\d+-\d+".*?</tr>', page, re.S)
    assert len(rows) == sum(len(table.rows) for table in tables.leaderboard) > 10
    for row in rows:
        cells = [text_of(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)][1:]
        assert any(len(line) > 5 and cells[: len(line)] == line for line in lines), cells
