"""Tests the ranking of victims by the shift of targets, and its null control."""

import re
from dataclasses import replace

import numpy as np
import pytest
from tests.fakes import FAKES, PROMOTED, USERS, World, row

from robench.report.leaderboard import build_leaderboard_section
from robench.report.markdown import to_markdown
from robench.report.page import to_page
from robench.report.page.columns import build_columns
from robench.report.page.headlines import build_headlines
from robench.tables.poisoning import compute_null_interval

PERCENTILE = {**FAKES, "metric": "t-percentile", "epsilon": 0.05}
DEMOTED = {**FAKES, "goal": "demote"}
SEEDS, ITEMS = (0, 1, 2), 20


def places(level, seed):
    """Returns the ranks of twenty targets, the same for all users.

    The ranks spread a little over targets and seeds.
    """
    return {"target_ranks": [[level + seed + target % 3] * USERS for target in range(ITEMS)]}


def fill(world, model="mf", clean=60, attacks=(("b", 0.05, 30),), threat=FAKES, **more):
    """Adds a clean cell and attacked cells with these target ranks, for every seed."""
    world.targets = {"count": ITEMS, "pick": "all", "sets": 1}
    for seed in SEEDS:
        world.cell([1] * USERS, model=model, seed=seed, arrays=places(clean, seed), **more)
        for attack, epsilon, level in attacks:
            arrays = places(level, 2 * seed)
            more_of = {"attack": attack, "epsilon": epsilon, "threat": threat, "arrays": arrays}
            world.cell([1] * USERS, model=model, seed=seed, **more_of, **more)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "w", [PERCENTILE])


def test_victims_are_ranked_by_the_shift_and_not_by_the_place_of_the_targets(world):
    fill(world, "mf", clean=90, attacks=[("b", 0.05, 50)])
    fill(world, "lstm", clean=30, attacks=[("b", 0.05, 20)])
    tables = world.build()
    moved, high = (row(tables, model=model) for model in ("mf", "lstm"))
    assert high.worst > moved.worst
    assert (high.rank, moved.rank) == (1, 2)
    assert moved.shift.mean == pytest.approx((90 - 50 - 1) / 99)  # the seeds move the places by one on average
    assert moved.shift.low < moved.shift.mean < moved.shift.high


def test_a_shift_stands_beside_the_null_control_of_the_clean_victims(world):
    fill(world)
    (found,) = world.build().rows()
    means = [float(np.mean([1 - (60 + seed + target % 3 - 1) / 99 for target in range(ITEMS)])) for seed in SEEDS]
    assert found.control == pytest.approx(compute_null_interval(means))
    assert found.control.high > 0


def test_of_several_attacks_and_budgets_the_largest_shift_counts(world):
    fill(world, attacks=[("b", 0.01, 50), ("b", 0.05, 40), ("c", 0.01, 20), ("c", 0.05, 25)])
    tables = world.build()
    (found,) = tables.rows()
    assert found.shift.mean == pytest.approx((60 - 20 - 1) / 99)
    assert found.attack_set == "custom: b, c"
    rows = {(r.attack_label, r.epsilon): r for r in tables.poisoning if str(r.metric) == "t-percentile"}
    assert len(rows) == 4
    assert all(r.control == pytest.approx(found.control) for r in rows.values())


def test_the_verdict_says_which_rows_the_attacks_move(world):
    fill(world, "mf", attacks=[("b", 0.05, 30)])
    (headline,) = build_headlines(world.build())
    assert "**The attacks move every ranked row** in t-percentile: no interval of a shift contains 0." in (
        headline.sentences
    )
    fill(world, "lstm", attacks=[("b", 0.05, 60)])
    (headline,) = build_headlines(world.build())
    said = "**The attacks move 1 of 2 ranked rows** in t-percentile. Elsewhere, the interval of the shift contains 0: "
    assert f"{said}lstm." in headline.sentences


def test_the_verdict_says_if_no_row_is_moved(world):
    """The places rise by 2, 1 and 0 with the seeds.

    So the mean is above 0, and its interval contains 0.
    """
    fill(world, "lstm", attacks=[("b", 0.05, 58)])
    (headline,) = build_headlines(world.build())
    assert any(text.startswith("**No ranked row is shown to be moved**") for text in headline.sentences)


def test_a_fall_moves_a_row_if_targets_are_demoted(tmp_path):
    world = World(tmp_path / "w", [{**PERCENTILE, "goal": "demote"}])
    fill(world, "mf", attacks=[("b", 0.05, 90)], threat=DEMOTED)
    (headline,) = build_headlines(world.build())
    assert any(text.startswith("**The attacks move every ranked row**") for text in headline.sentences)


def test_the_column_of_verdicts_is_hidden_if_no_row_has_one(world):
    fill(world)
    (table,) = world.build().leaderboard
    assert [column.key for column in build_columns(table, []) if column.extra] == ["verdict"]
    judged = replace(table, rows=[replace(table.rows[0], verdict="undecided")])
    assert not any(column.extra for column in build_columns(judged, []))


def test_the_largest_fall_counts_if_targets_are_demoted(tmp_path):
    world = World(tmp_path / "w", [{**PERCENTILE, "goal": "demote"}])
    fill(world, "mf", attacks=[("b", 0.05, 70), ("c", 0.05, 90)], threat=DEMOTED)
    fill(world, "lstm", attacks=[("b", 0.05, 62), ("c", 0.05, 61)], threat=DEMOTED)
    tables = world.build()
    assert row(tables, model="mf").shift.mean == pytest.approx(-31 / 99)
    assert [row(tables, model=model).rank for model in ("mf", "lstm")] == [2, 1]


def test_a_defence_is_tested_by_the_shift_of_its_twin(world):
    fill(world, clean=60, attacks=[("b", 0.05, 40)])
    fill(world, clean=90, attacks=[("b", 0.05, 70)], weight=0.5)
    found = row(world.build(), **{"lambda": 0.5})
    assert found.p_value > 0.5  # the shifts differ by rounding errors only
    assert found.verdict.startswith("undecided .0000")


@pytest.mark.parametrize("measure", ["t-percentile", "t-hr@50", "t-ndcg@50"])
def test_every_measure_of_targets_ranks_and_has_its_null_control(tmp_path, measure):
    world = World(tmp_path / "w", [{**PERCENTILE, "metric": measure}])
    world.metrics = ["ndcg@10", measure]
    fill(world)
    tables = world.build()
    (found,) = tables.rows()
    (line,) = [r for r in tables.poisoning if str(r.metric) == measure]
    assert found.rank == 1
    assert (found.shift, found.control) == (pytest.approx(line.effect), pytest.approx(line.control))
    assert f"| {measure} " in to_markdown(tables)


def test_the_table_says_what_it_compares_and_which_targets_it_has(world):
    fill(world)
    (table,) = world.build().leaderboard
    words, grid = build_leaderboard_section(table).blocks
    assert "1 set of 20, `pick: all`" in words
    assert "compare the shift" in words
    (line,) = grid.body
    shift, control = (line[grid.head.index(name)] for name in ("shift", "null control"))
    assert shift.startswith(".2929 [")
    assert control.startswith("[-.")


@pytest.mark.usefixtures("undrawn")
def test_the_page_names_the_shift_as_what_ranks(world):
    fill(world, "mf", clean=90, attacks=[("b", 0.05, 50)])
    fill(world, "lstm", clean=30, attacks=[("b", 0.05, 20)])
    page = to_page(world.build())
    assert "Best by shift: lstm" in page
    assert re.search("The place among [a-z ]+ by the shift[.]", page)


def test_tables_at_test_time_compare_attacked_values(tmp_path):
    world = World(tmp_path / "w", [{**PROMOTED, "metric": "t-percentile", "epsilon": 0.05}])
    fill(world, "mf", clean=90, attacks=[("pgd", 0.05, 50)], threat=PROMOTED)
    fill(world, "lstm", clean=30, attacks=[("pgd", 0.05, 20)], threat=PROMOTED)
    tables = world.build()
    assert {row(tables, model=model).shift for model in ("mf", "lstm")} == {None}
    assert [table.targets for table in tables.leaderboard] == [None]
    assert row(tables, model="lstm").worst > row(tables, model="mf").worst
