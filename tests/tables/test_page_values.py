"""Tests worst cases along ε, costs, examples and the origin of a folder."""

import numpy as np
import pytest
from tests.fakes import EMBEDDING, FAKES, POISONING, PROMOTED, USERS, World, ranks

from robench.report.page.headlines import build_headlines


@pytest.fixture
def tables(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        world.cell(ranks(50, 99), seed=seed, attack="pgd", epsilon=0.05)
        world.cell(ranks(70, 99), seed=seed, attack="pgd", epsilon=0.01)
        world.cell(ranks(20, 99), seed=seed, attack="pgd", epsilon=0.1)
        world.cell(ranks(140, 99), seed=seed, weight=0.5)
        world.cell(ranks(120, 99), seed=seed, weight=0.5, attack="pgd", epsilon=0.05)
    return world.build()


def test_a_curve_begins_at_the_clean_value_and_passes_through_the_worst_case_of_the_table(tables):
    ((table,), (more,)) = tables.leaderboard, tables.page_values
    for row in table.rows:
        curve = dict(more.curves[row.key])
        assert curve[0.0] == row.clean_interval
        assert curve[table.epsilon] == row.worst_interval
    undefended = next(dict(more.curves[row.key]) for row in table.rows if not row.key.defended)
    assert {epsilon: value.mean for epsilon, value in undefended.items()} == pytest.approx(
        {0.0: 150 / USERS, 0.01: 70 / USERS, 0.05: 50 / USERS, 0.1: 20 / USERS}
    ), "also beyond the table's ε"


def test_a_defence_costs_the_paired_difference_of_the_clean_values(tables):
    ((table,), (more,)) = tables.leaderboard, tables.page_values
    (cost,) = more.costs.values()
    assert cost.mean == pytest.approx((140 - 150) / USERS)
    assert [row.key for row in table.rows if row.key.defended] == list(more.costs)


def test_a_defence_against_fake_users_costs_quality_on_clean_data(tmp_path):
    """The targets of an attack say nothing about what a defence costs."""
    world = World(tmp_path / "w", [{**POISONING, "metric": "t-percentile"}])
    world.targets["count"] = 20
    for seed in (0, 1, 2):
        for weight, clean in ((1.0, 150), (0.5, 120)):
            given = {"seed": seed, "weight": weight}
            for place, attacked in ((60, {}), (20, {"attack": "bandwagon", "epsilon": 0.05, "threat": FAKES})):
                arrays = {"targets": range(20), "target_ranks": [[place + n] * USERS for n in range(20)]}
                world.cell(ranks(clean, 99), arrays=arrays, **given, **attacked)
    ((more,), (headline,)) = (tables := world.build()).page_values, build_headlines(tables)
    (cost,) = more.costs.values()
    assert str(more.quality) == "ndcg@10"
    assert cost.mean == pytest.approx((120 - 150) / USERS)
    ((_, grid),) = headline.grids
    assert grid.head[2] == "clean ndcg@10, less the twin's"
    assert grid.head[3] == "attacked, less the twin's; lower is better"
    assert grid.body[0][2].startswith("-.1500")
    assert "On clean data, ndcg@10 differs from the undefended twin's by -.1500 [" in headline.advice[0]


def test_the_origin_names_versions_and_the_hash_of_every_record(tables):
    origin = tables.origin
    assert origin.versions["torch"] == ("1",)
    assert origin.machines == ("1, cpu, 1 thread",)
    assert len(origin.digests) == len({value.cell.cell for value in tables.values})
    assert all(len(digest) == 64 for digest in (*origin.digests.values(), origin.plan_sha256))


def test_an_example_is_a_user_whose_held_out_item_leaves_the_list(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    top = np.tile(np.arange(10), (USERS, 1))
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed, arrays={"top": top})
        world.cell(ranks(50, 99), seed=seed, attack="pgd", epsilon=0.05, arrays={"top": top + 1})
    users = {
        "user": np.arange(USERS),
        "user_id": np.array([f"u{n}" for n in range(USERS)]),
        "title": np.array([f"title {n}" for n in range(100)]),
        "held_out_indptr": np.arange(USERS + 1),
        "held_out_items": np.zeros(USERS, dtype=np.int64),
    }
    world.store.write_users({f"d/s/{name}": values for name, values in users.items()})
    ((example,),) = world.build().examples
    assert example.user == "u50", "the first whose item falls"
    assert example.before[0] == ("title 0", "held out")
    assert example.after[0] == ("title 1", "")
    assert "the held-out title 0 moves from rank 1 to rank 99" in example.outcome


@pytest.mark.parametrize(("goal", "before", "after"), [("promote", 50, 5), ("demote", 5, 50)])
def test_an_example_is_a_user_whose_list_a_target_enters_or_leaves(tmp_path, goal, before, after):
    threat = {**PROMOTED, "goal": goal}
    world = World(tmp_path / "w", [{**threat, "metric": "t-hr@10", "epsilon": 0.05}])
    world.targets["count"] = 2
    still = [before] * USERS
    moved = still[:20] + [after] * (USERS - 20)
    for seed in (0, 1):
        world.cell([1] * USERS, seed=seed, arrays={"targets": [7, 3], "target_ranks": [still, still]})
        arrays = {"targets": [3, 7], "target_ranks": [moved, still]}
        world.cell([1] * USERS, seed=seed, attack="pgd", epsilon=0.05, threat=threat, arrays=arrays)
    world.facts()
    ((example,),) = world.build().examples
    assert example.user == "20"
    assert example.outcome == f"the target 3 moves from rank {before} to rank {after}"


def test_an_example_compares_each_target_with_itself(tmp_path):
    world = World(tmp_path / "w", [{**PROMOTED, "metric": "t-hr@10", "epsilon": 0.05}])
    world.targets["count"] = 2
    for seed in (0, 1):
        clean = {"targets": [7, 3], "target_ranks": [[50] * USERS, [5] * USERS]}
        world.cell([1] * USERS, seed=seed, arrays=clean)
        arrays = {"targets": [3, 7], "target_ranks": [[5] * USERS, [50] * USERS]}
        world.cell([1] * USERS, seed=seed, attack="pgd", epsilon=0.05, threat=PROMOTED, arrays=arrays)
    world.facts()
    assert world.build().examples == [[]]
