"""Tests the values of groups of users."""

import json

import numpy as np
import pytest
from tests.fakes import FAKES, METRICS, USERS, World, ranks

from robench.report.files import build_texts
from robench.tables.results import read_results
from robench.tables.slices import build_cell_slices, group_users

LENGTHS = np.arange(USERS) // (USERS // 3 + 1)  # 0, 1 and 2, a third each


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "w", [])


def rows_of(world, **values):
    rows = world.build().slices
    return {(row.slice, row.group): row for row in rows if all(getattr(row, k) == v for k, v in values.items())}


def test_the_value_of_a_group_is_the_mean_over_its_users(world):
    world.facts(history_length=LENGTHS)
    for seed in (0, 1):
        world.cell(np.where(LENGTHS == 1, 99, 1), seed=seed)
    rows = rows_of(world)
    assert {name: row.value.mean for name, row in rows.items() if name[0] == "activity"} == {
        ("activity", "low"): 1.0,
        ("activity", "middle"): 0.0,
        ("activity", "high"): 1.0,
    }
    assert [name for name, row in rows.items() if row.worst] == [("activity", "middle")]
    assert sum(row.users for name, row in rows.items() if name[0] == "activity") == USERS


def test_cold_items_are_a_group_of_their_own(world):
    items = np.where(np.arange(USERS) < 5, 0, 7)  # item 0 has no training interactions
    world.facts(held_out_items=items)
    world.cell(np.where(items == 0, 99, 1))
    rows = rows_of(world)
    assert (rows["popularity", "cold"].users, rows["popularity", "cold"].value.mean) == (5, 0.0)
    assert rows["popularity", "cold"].worst
    assert rows["popularity", "low"].value.mean == 1.0
    assert (rows["cold or warm", "cold"].users, rows["cold or warm", "cold"].worst) == (5, True)
    warm = rows["cold or warm", "warm"]
    assert (warm.users, warm.value.mean, warm.worst) == (USERS - 5, 1.0, False)


def test_equal_values_are_in_one_group(world):
    world.facts()
    world.cell(ranks(20, 99))
    rows = rows_of(world)
    assert set(rows) == {("activity", "low"), ("popularity", "cold")}
    assert not any(row.worst for row in rows.values())  # there is no other group to compare with


def test_poisoned_victims_have_rows_of_their_own(world):
    world.facts(history_length=LENGTHS)
    for seed in (0, 1):
        world.cell(ranks(USERS, 99), seed=seed)
        world.cell(np.where(LENGTHS == 2, 99, 1), seed=seed, attack="b", epsilon=0.05, threat=FAKES)
        world.cell(ranks(0, 99), seed=seed, attack="a", epsilon=0.05)
    assert rows_of(world, attack_label="none")["activity", "high"].value.mean == 1.0
    assert rows_of(world, attack_label="b")["activity", "high"].value.mean == 0.0
    assert not rows_of(world, attack_label="a")  # an attack at test time changes the histories or the inputs


def test_a_cell_under_an_attack_at_test_time_has_slices(world):
    world.facts(history_length=LENGTHS)
    world.cell(ranks(USERS, 99))
    cell = world.cell(np.where(LENGTHS == 2, 99, 1), attack="a", epsilon=0.05)["cell"]
    world.build()
    results = read_results(world.store.folder, METRICS)
    (attacked,) = (planned for planned in results.cells if planned.cell == cell)
    (measure,) = (one for one in results.plan.metrics if str(one) == "ndcg@10")
    rows = {(row.slice, row.group): row for row in build_cell_slices(results, attacked, [measure])}
    thirds = [rows["activity", group] for group in ("low", "middle", "high")]
    assert [(row.value, row.worst) for row in thirds] == [(1, False), (1, False), (0, True)]
    assert [row.users for row in thirds] == np.bincount(LENGTHS).tolist()


def test_a_cell_whose_users_are_in_one_group_has_no_worst_group(world):
    world.facts()
    world.cell(ranks(20, 99))
    world.build()
    results = read_results(world.store.folder, METRICS)
    rows = build_cell_slices(results, results.cells[0], results.plan.metrics[:1])
    assert {row.group for row in rows} == {"low", "cold"}
    assert not any(row.worst for row in rows)


def test_a_folder_without_facts_has_no_slices(world):
    world.cell(ranks(20, 99))
    tables = world.build()
    assert tables.slices == []
    assert "slices" not in json.loads(build_texts(tables)["leaderboard.json"])


def test_the_worst_group_is_shown(world):
    world.facts(history_length=LENGTHS)
    world.cell(np.where(LENGTHS == 1, 99, 1))
    texts = build_texts(world.build())
    assert "Worst groups of users and items" in texts["leaderboard.md"]
    assert {row["group"] for row in json.loads(texts["leaderboard.json"])["slices"]} == {
        "low",
        "middle",
        "high",
        "cold",
    }


def test_users_with_several_held_out_items_count_by_their_mean():
    known = {
        "user": np.array([0, 2]),
        "held_out_indptr": np.array([0, 2, 2, 3]),
        "held_out_items": np.array([1, 3, 2]),
        "train_count": np.array([0, 6, 8, 4]),  # the mean 5 is below 8, and the sum 10 is not
        "history_length": np.array([4, 4]),
    }
    groups = group_users(known)["popularity"]
    assert {name: members.tolist() for name, members in groups.items()} == {"low": [True, False], "high": [False, True]}
