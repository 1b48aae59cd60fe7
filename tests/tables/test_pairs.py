"""Tests which cells a table compares with each other."""

import numpy as np
import pytest
from tests.fakes import EMBEDDING, FAKES, USERS, World, ranks, row

from robench.tables.stats import estimate_mean


@pytest.mark.parametrize("whole", [1.0, 0.5])  # λ of the row that has three seeds
def test_a_defended_row_is_compared_with_its_twin_s_fit_of_the_same_seed(tmp_path, whole):
    world = World(tmp_path / "w", [EMBEDDING])
    cells = [(whole, 0, 40), (whole, 1, 92), (whole, 2, 96), (1.5 - whole, 1, 100), (1.5 - whole, 2, 100)]
    for weight, seed, left in cells:
        world.cell(ranks(150, 99), weight=weight, seed=seed)
        world.cell(ranks(left, 99), weight=weight, seed=seed, attack="a", epsilon=0.05)
    gap = estimate_mean(np.array([ranks(100, 0), ranks(100, 0)]) - [ranks(92, 0), ranks(96, 0)])
    found = row(world.build(), **{"lambda": 0.5})
    assert gap.mean == pytest.approx(0.03)
    assert found.p_value == pytest.approx(gap.compute_p())
    assert found.verdict.startswith("undecided +.0300" if whole == 1 else "undecided -.0300")


def test_one_common_seed_gives_no_p_value_and_no_verdict(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    for weight, left in ((1.0, 40), (0.5, 100)):
        world.cell(ranks(150, 99), weight=weight)
        world.cell(ranks(left, 99), weight=weight, attack="a", epsilon=0.05)
    found = row(world.build(), **{"lambda": 0.5})
    assert (found.p_value, found.verdict, found.rank_low, found.rank_high) == (None, "", 1, 2)
    assert "no p-value and no verdict" in found.notes[0].why


def test_rows_are_ranked_on_their_fits_of_the_same_seed(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    for weight, seed, left in ((1.0, 0, 140), (1.0, 1, 40), (0.5, 1, 100)):
        world.cell(ranks(150, 99), weight=weight, seed=seed)
        world.cell(ranks(left, 99), weight=weight, seed=seed, attack="a", epsilon=0.05)
    tables = world.build()
    assert [row(tables, **{"lambda": weight}).rank for weight in (1.0, 0.5)] == [2, 1]


def test_a_poisoning_is_compared_with_the_clean_ranks_of_its_own_targets(tmp_path):
    world = World(tmp_path / "w", [])
    for seed in (0, 1):
        world.cell([1] * USERS, seed=seed, arrays={"target_ranks": [[30] * USERS, [80] * USERS]})
        arrays = {"target_ranks": [[40] * USERS]}
        world.cell([1] * USERS, seed=seed, attack="b", epsilon=0.05, threat=FAKES, arrays=arrays, target_set=1)
    found = next(r for r in world.build().poisoning if str(r.metric) == "t-percentile")
    assert found.before == pytest.approx(1 - 79 / 99)
    assert found.effect[0] == pytest.approx(40 / 99)


def test_a_defended_popularity_is_not_what_victims_have_to_clear(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    for seed in (0, 1):
        world.cell(ranks(20, 99), model="popularity", seed=seed)
        world.cell(ranks(USERS, 99), model="popularity", seed=seed, weight=0.5)
        world.cell(ranks(100, 99), seed=seed)
        world.cell(ranks(50, 99), seed=seed, attack="a", epsilon=0.05)
    found = row(world.build(), model="mf")
    assert (found.rank, found.flags) == (1, "")


def test_a_victim_is_compared_with_popularity_s_fit_of_the_same_seed(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    for seed, hits in ((0, 150), (1, 60)):
        world.cell(ranks(hits, 99), model="popularity", seed=seed)
    world.cell([], seed=0, status="failed")
    world.cell(ranks(100, 99), seed=1)
    world.cell(ranks(50, 99), seed=1, attack="a", epsilon=0.05)
    assert "not above popularity" not in row(world.build(), model="mf").flags


def test_a_victim_that_shares_no_seed_with_popularity_is_not_judged_by_it(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    world.cell([], model="popularity", seed=0, status="failed")
    world.cell(ranks(150, 99), model="popularity", seed=1)
    world.cell(ranks(100, 99), seed=0)
    world.cell([], seed=1, status="failed")
    world.cell(ranks(50, 99), seed=0, attack="a", epsilon=0.05)
    assert "not above popularity" not in row(world.build(), model="mf").flags
