"""Tests the section on attacks on titles.

The section shows effects on the same items, costs, and the strongest attack.
"""

import re

import numpy as np
import pytest
from tests.fakes import POISONING, USERS, World, ranks

from robench.report.markdown import to_markdown
from robench.report.titles import FILTER_TEXT

TEXT = {"stage": "test", "surface": "text", "norm": "words", "scale": "relative", "goal": "promote", "k": 10}
ALL = [1] * USERS


def targets(reached):
    """Returns the ranks of one target item.

    The rank is 1 for the first ``reached`` users, and 50 for all others.
    """
    return {"target_ranks": [[1] * reached + [50] * (USERS - reached)]}


def attacked(world, seed, attack, reached, **achieved):
    rows = [{"item": "7", "row": 7, "before": "Heat", "after": f"{attack} Heat", "edits": 1}]
    world.cell(
        ALL, seed=seed, attack=attack, epsilon=0.5, threat=TEXT, arrays=targets(reached), titles=rows,
        achieved={"edits_mean": 1.5, **achieved}, queries=300,
    )  # fmt: skip


@pytest.fixture
def tables(tmp_path):
    world = World(tmp_path, [])
    for seed in (0, 1):
        world.cell(ALL, seed=seed, arrays=targets(10 + 10 * seed))
        attacked(world, seed, "prefix", 80, similarity_mean=0.8, similarity_min=0.6)
        attacked(world, seed, "hotflip", 120 + seed, similarity_mean=0.5, similarity_min=0.2)
    return world.build()


def test_before_and_after_are_means_over_users_and_seeds(tables):
    prefix, hotflip = tables.titles
    assert prefix.before == pytest.approx(15 / USERS)
    assert prefix.after == pytest.approx(80 / USERS)
    assert prefix.effect[0] == pytest.approx(65 / USERS)
    assert hotflip.after == pytest.approx(120.5 / USERS)
    assert (prefix.edits_mean, prefix.similarity_mean, prefix.similarity_min) == (1.5, 0.8, 0.6)
    assert prefix.queries == 300


def test_the_strongest_is_the_one_that_moves_it_furthest_and_its_titles_are_shown(tables):
    assert [row.strongest for row in tables.titles] == [False, True]
    text = to_markdown(tables)
    assert "**hotflip**" in text
    assert "**prefix**" not in text
    assert "- mf, none, hotflip, ε = 0.5: Heat → hotflip Heat" in text
    assert "Heat → prefix Heat" not in text
    assert ".50, .20" in text


def test_of_untargeted_attacks_the_one_that_leaves_least_is_the_strongest(tmp_path):
    world = World(tmp_path, [])
    threat = {**TEXT, "goal": "untargeted"}
    for seed in (0, 1):
        world.cell(ranks(150, 50), seed=seed)
        for attack, left in (("prefix", 120), ("hotflip", 40), ("typo", 100)):
            world.cell(ranks(left, 50), seed=seed, attack=attack, epsilon=0.5, threat=threat)
    found = {row.attack_label: row for row in world.build().titles}
    assert {str(row.metric) for row in found.values()} == {"ndcg@10"}
    assert found["hotflip"].after == pytest.approx(40 / USERS)
    assert {name: row.strongest for name, row in found.items()} == {"prefix": False, "hotflip": True, "typo": False}


@pytest.mark.parametrize(("goal", "reached", "left"), [("promote", 10, 99), ("untargeted", 99, 150)])
def test_where_nothing_moved_nobody_is_the_strongest(tmp_path, goal, reached, left):
    world = World(tmp_path, [])
    world.cell(ranks(150, 50), arrays=targets(10))
    for attack in ("prefix", "hotflip"):
        more = {"attack": attack, "epsilon": 0.5, "threat": {**TEXT, "goal": goal}, "arrays": targets(reached)}
        world.cell(ranks(left, 50), **more)
    assert [row.strongest for row in world.build().titles] == [False, False]


def test_a_suite_without_attacks_on_titles_has_no_such_section(tmp_path):
    world = World(tmp_path, [POISONING])
    world.cell(ALL, arrays={"target_ranks": np.full((1, USERS), 3)})
    found = world.build()
    assert found.titles == []
    assert "Rewritten titles" not in to_markdown(found)


def test_an_attack_without_its_clean_cell_is_left_out(tmp_path):
    world = World(tmp_path, [])
    attacked(world, 0, "prefix", 80)
    assert world.build().titles == []


def test_the_reach_through_a_filter_is_shown_if_a_record_holds_it(tmp_path):
    world = World(tmp_path, [])
    world.cell(ALL, arrays=targets(10))
    attacked(world, 0, "prefix", 80)
    attacked(world, 0, "hotflip", 120, filter_reach=0.37)
    tables = world.build()
    assert [row.filter_reach for row in tables.titles] == [None, 0.37]
    text = to_markdown(tables)
    assert "| similarity | filter reach | queries |" in re.sub(" +", " ", text)
    assert FILTER_TEXT in text
    lines = [re.sub(" +", " ", line) for line in text.splitlines() if "of words" in line]
    assert [("| .37 | 300 |" in line, "| – | – | 300 |" in line) for line in lines] == [(False, True), (True, False)]


def test_old_records_show_neither_the_column_nor_its_text(tables):
    text = to_markdown(tables)
    assert "filter reach" not in text
    assert FILTER_TEXT not in text


def test_a_floor_of_the_similarity_stands_beside_the_unit(tmp_path):
    world = World(tmp_path, [])
    world.cell(ALL, arrays=targets(10))
    threat = {**TEXT, "norm": "words-stealth-0.8"}
    world.cell(ALL, attack="prefix", epsilon=0.5, threat=threat, arrays=targets(20))
    attacked(world, 0, "hotflip", 80)
    text = to_markdown(world.build())
    assert "0.5 of words, stealth .80" in text
    assert "0.5 of words |" in re.sub(" +", " ", text)
