"""Tests what the terminal, the page and the start page say if nothing has a rank."""

import io
import re

import pytest
from rich.console import Console
from tests.fakes import EMBEDDING, World, ranks

from robench.report.headline import NO_ATTACK, RANKLESS
from robench.report.leaderboard import NO_ATTACKS, NO_FIT
from robench.report.next_steps import STEPS, suggest_steps
from robench.report.page import to_page
from robench.report.terminal import print_headline


def unranked(folder, hits):
    """Returns the tables of an undefended model that hits some users."""
    world = World(folder, [EMBEDDING])
    for seed in (0, 1):
        world.cell(ranks(hits, 99), seed=seed)
        world.cell(ranks(hits // 2, 99), seed=seed, attack="pgd", epsilon=0.05)
    return world.build()


def printed(tables, width=10_000):
    """Returns the headline of tables as text."""
    out = io.StringIO()
    print_headline(tables, Console(file=out, width=width, markup=False, emoji=False))
    return out.getvalue()


def test_a_table_without_a_rank_says_how_to_get_one(tmp_path):
    tables = unranked(tmp_path / "w", 20)
    (table,) = tables.leaderboard
    sentence = suggest_steps(table)
    assert sentence == f"To get a rank: {STEPS['low power'].many}."
    assert f"  {sentence}\n" in printed(tables)
    assert sentence in re.sub("<[^>]+>", "", to_page(tables, drawn=False)), "the page has the same words"


def test_a_table_with_a_rank_needs_no_step(tmp_path):
    tables = unranked(tmp_path / "w", 80)
    assert tables.leaderboard[0].rows[0].rank == 1
    assert suggest_steps(tables.leaderboard[0]) == ""
    assert "To get a rank" not in printed(tables)


def test_lines_of_the_headline_have_no_blanks_at_their_ends(tmp_path):
    text = printed(unranked(tmp_path / "w", 20), 200)
    assert "no rank, low power" in text
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


@pytest.mark.parametrize("reason", [name for name in STEPS if name in RANKLESS])
def test_every_step_belongs_to_a_reason_and_is_a_phrase(reason):
    for text in filter(None, STEPS[reason]):
        assert not text.endswith(".")
        assert text[0].islower()


def test_the_reasons_are_flags_that_exist():
    assert set(STEPS) - set(RANKLESS) == {NO_ATTACK, "unranked: "}


@pytest.mark.parametrize(("skipped", "sentence", "other"), [(True, NO_FIT, NO_ATTACKS), (False, NO_ATTACKS, NO_FIT)])
def test_attacks_that_fit_no_model_are_not_called_absent(tmp_path, skipped, sentence, other):
    world = World(tmp_path / "w", [])
    world.cell(ranks(30, 99))
    if skipped:
        world.cell([], attack="pgd", epsilon=0.05, status="missing").update(status="skipped", reason="no")
    text = printed(world.build())
    assert sentence in text
    assert other not in text
