"""Tests what one screen shows of the ranking tables."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console
from tests.fakes import EMBEDDING, World, ranks

from robench.report.choices import Form, Shown
from robench.report.files import build_texts
from robench.report.headline import NO_RANK, RANKLESS, choose_rows, count_rows, describe_rest, explain_unranked
from robench.report.page import to_page
from robench.report.terminal import HEIGHT, print_headline, print_sections, print_tables

MODELS = [f"m{number}" for number in range(6)]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Returns the tables of six models with two defences each.

    One of the models cannot be ranked.
    """
    world = World(tmp_path_factory.mktemp("board") / "w", [EMBEDDING])
    for seed in range(3):
        world.cell(ranks(40, 99), model="popularity", seed=seed)
        for place, model in enumerate(MODELS):
            clean = 30 if model == "m5" else 150 - place
            for weight, left in ((1.0, 10), (0.5, 20 + seed), (0.75, 25)):
                world.cell(ranks(clean, 99), model=model, seed=seed, weight=weight)
                world.cell(ranks(left, 99), model=model, seed=seed, weight=weight, attack="pgd", epsilon=0.05)
    return world.build()


def text_of(tables, width=80, show=print_headline):
    out = io.StringIO()
    show(tables, Console(file=out, width=width, markup=False, emoji=False))
    return out.getvalue()


def test_a_board_fits_one_screen_with_the_best_row_of_each_model(tables):
    text = text_of(tables)
    assert len(text.splitlines()) <= HEIGHT
    (table,) = tables.leaderboard
    assert count_rows([table], HEIGHT) >= 15, "all fifteen ranked rows fit one screen"
    rows = choose_rows(table, 6)
    assert [(row.key.model, row.rank) for row in rows] == [(model, 1) for model in MODELS[:5]]
    assert {row.key.lambda_ for row in rows} == {0.75}
    assert describe_rest(table, rows) == [
        "only the best row of a model is shown; 10 more ranked rows: --tables ranking",
        "verdicts: 10 gains (m0, at λ=0.75; m0, at λ=0.5; m1, at λ=0.75; ...)",
    ]


def test_rows_without_a_rank_share_a_line_per_reason(tables):
    (table,) = tables.leaderboard
    assert explain_unranked(table) == [
        "no rank, not above popularity and low power: m5 (3 rows)",
        "baseline: popularity, clean ndcg@10 .2000",
    ]


def test_one_row_more_than_fits_is_shown(tables):
    (table,) = tables.leaderboard
    assert len(choose_rows(table, 14)) == 15
    assert describe_rest(table, choose_rows(table, 14)) == []
    assert len(choose_rows(table, 13)) == 5
    assert len(choose_rows(table, 0)) == 1


def test_a_narrow_terminal_keeps_every_name_and_mean(tables):
    for width in (60, 80, 100, 200):
        text = text_of(tables, width)
        assert max(map(len, text.splitlines())) <= width
        for row in tables.rows():
            if row.rank is not None:
                assert f"{row.key.model_label}, " in text
                assert f"{100 * row.drop:.1f}%" in text
        assert "…" not in text


def test_the_headline_has_the_numbers_and_words_of_leaderboard_md(tables):
    written = build_texts(tables)["leaderboard.md"]
    for line in text_of(tables, 200).splitlines():
        for part in re.findall(r"\.\d{4} \[[^]]+\]|gains [^;]+?\]|\d+ \(\d–\d\)", line):
            assert part in written
    assert "gains +" in text_of(tables, 200)
    assert "undecided" not in text_of(tables, 200)


def test_a_board_without_a_rank_says_so(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    for seed in (0, 1):
        world.cell(ranks(20, 99), seed=seed)
        world.cell(ranks(10, 99), seed=seed, attack="pgd", epsilon=0.05)
    tables = world.build()
    text = text_of(tables)
    assert NO_RANK in text
    assert NO_RANK in re.sub("<[^>]+>", "", to_page(tables, drawn=False)), "the page has the same words"
    assert "no rank, low power: mf, none" in text


def test_the_flags_that_take_a_rank_are_those_of_the_documentation():
    page = Path("docs/reference/results.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", page.partition("### Flags")[2] or page, re.MULTILINE)
    named = {name for name, text in rows if re.search(r"\bno rank\b", text, re.IGNORECASE)}
    named -= {name for name in named if name.startswith(("unranked: ", "clean", "rank"))}
    assert named - set(RANKLESS) == set()
    assert set(RANKLESS) - named == {"no better than random", "black-box beats white-box"}, "members of ensembles"


@pytest.mark.parametrize(("form", "name"), [("md", "leaderboard.md"), ("csv", "leaderboard.csv"), ("json", None)])
def test_a_format_for_programs_is_the_content_of_the_file(tables, form, name, capsys):
    print_tables(tables, Path("w"), Console(), form=Form(form))
    assert capsys.readouterr().out == build_texts(tables)[name or "leaderboard.json"]


def test_all_tables_are_the_sections_of_leaderboard_md(tables):
    written = build_texts(tables)["leaderboard.md"]
    text = text_of(tables, 300, print_sections)
    titles = re.findall("^## (.+)$", written, re.MULTILINE)
    assert len(titles) > 3
    for title in titles:
        assert title.replace("\\", "") in text
    assert "**" not in text
    assert "`" not in text


def test_what_text_shows_ends_with_the_files(tables, capsys):
    print_tables(tables, Path("w"), Console(width=80))
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "all tables: robench leaderboard w --tables all",
        "leaderboard: w/leaderboard.md",
        "page: w/index.html",
    ]
    print_tables(tables, Path("w"), Console(width=80), Shown.RANKING)
    assert "m5" in capsys.readouterr().out
