"""Tests which attacks decide the rank of a row.

The table names these attacks. Every ranked seed of the row has results for all of them.
"""

import pytest
from tests.fakes import EMBEDDING, L2, MEMBER, PARAMETERS, PROMOTED, TABLES, USERS, World, ranks, row

from robench.tables.attack_set import AttackSet, Point

SEEDS = (0, 1, 2)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "w", [EMBEDDING])


def attacked(world, left, *, weight=1.0, seeds=SEEDS, model="mf", **more):
    """Adds a clean cell with 150 hits, and attacked cells, for each seed.

    ``left`` maps each attack and ε to the number of users that keep their item at rank 1. None means that the attack
    fails.
    """
    for seed in seeds:
        world.cell(ranks(150, 99), seed=seed, weight=weight, model=model)
        for (attack, epsilon), users in left.items():
            status = {"status": "failed"} if users is None else {}
            cell = {"seed": seed, "weight": weight, "model": model, "attack": attack, "epsilon": epsilon}
            world.cell(ranks(users or 0, 99), **cell, **status, **more)


def twin_and_defended(tables):
    return (row(tables, model="mf", **{"lambda": weight}) for weight in (1.0, 0.5))


FGSM, PGD = ("fgsm", 0.05), ("pgd", 0.05)


def test_a_defence_on_which_the_strong_attack_crashes_is_not_ranked(world):
    attacked(world, {FGSM: 150, PGD: 40})
    attacked(world, {FGSM: 140, PGD: None}, weight=0.5)
    tables = world.build()
    twin, defended = twin_and_defended(tables)
    assert (twin.worst, defended.worst) == (0.2, 0.7)
    assert (defended.rank, defended.rank_low, defended.rank_high) == (None, None, None)
    assert defended.p_value is None
    assert "unranked: pgd ε=0.05 is missing in seeds 0, 1, 2" in defended.flags
    assert defended.attack_set == "custom: fgsm"
    assert (twin.rank, twin.rank_high, twin.flags, twin.attack_set) == (1, 1, "", "custom: fgsm, pgd")
    assert tables.leaderboard[0].attacks == ("fgsm", "pgd")


@pytest.mark.parametrize("status", ["missing", "failed"])
def test_an_attack_that_fails_in_one_seed_costs_that_seed_alone(world, status):
    attacked(world, {FGSM: 150, PGD: 40})
    attacked(world, {FGSM: 140, PGD: 60}, weight=0.5, seeds=(0, 1))
    attacked(world, {FGSM: 140}, weight=0.5, seeds=(2,))
    world.cell(ranks(100, 99), seed=2, weight=0.5, attack="pgd", epsilon=0.05, status=status)
    _, defended = twin_and_defended(world.build())
    assert (defended.worst, defended.seeds, defended.rank) == (0.3, 2, 1)
    assert "incomplete: 8 of 9 cells" in defended.flags
    assert "unranked" not in defended.flags


def test_an_attack_that_fails_only_at_its_largest_budget_unranks_the_row(world):
    attacked(world, {("pgd", 0.01): 100, PGD: 40})
    attacked(world, {("pgd", 0.01): 120, PGD: None}, weight=0.5)
    _, defended = twin_and_defended(world.build())
    assert (defended.rank, defended.p_value) == (None, None)
    assert "unranked: pgd ε=0.05 is missing in seeds 0, 1, 2" in defended.flags


def test_different_attacks_that_fail_in_different_seeds_leave_no_whole_seed(world):
    attacked(world, {FGSM: 150, PGD: 40}, seeds=(0, 1))
    attacked(world, {FGSM: 150, PGD: None}, seeds=(0,), weight=0.5)
    attacked(world, {FGSM: None, PGD: 50}, seeds=(1,), weight=0.5)
    _, defended = twin_and_defended(world.build())
    assert (defended.rank, defended.p_value, defended.worst) == (None, None, None)
    assert "unranked: fgsm ε=0.05 is missing in seed 1" in defended.flags
    assert "unranked: pgd ε=0.05 is missing in seed 0" in defended.flags
    assert defended.attack_set == ""


def test_an_attack_that_is_excluded_for_one_defence_only_unranks_it(world):
    attacked(world, {FGSM: 150, PGD: 40, ("pgd", 0.01): 90})
    attacked(world, {FGSM: 140}, weight=0.5)
    _, defended = twin_and_defended(world.build())
    assert (defended.rank, defended.p_value) == (None, None)
    assert "unranked: pgd ε=0.01, 0.05 are missing in seeds 0, 1, 2" in defended.flags


def test_the_set_is_the_tables_also_if_a_whole_model_lacks_an_attack(world):
    attacked(world, {FGSM: 150, PGD: 40})
    attacked(world, {FGSM: 140}, model="lstm")
    tables = world.build()
    assert row(tables, model="mf").rank == 1
    assert row(tables, model="lstm").rank is None


def test_a_twin_that_lacks_an_attack_is_not_compared_with(world):
    attacked(world, {FGSM: 150, PGD: None})
    attacked(world, {FGSM: 140, PGD: 60}, weight=0.5)
    twin, defended = twin_and_defended(world.build())
    assert (twin.rank, defended.rank) == (None, 1)
    assert defended.p_value is None
    assert "unranked: pgd" in twin.flags
    assert "unranked" not in defended.flags


def test_without_the_ensemble_a_row_is_unranked_and_the_table_keeps_its_title(world):
    of_auto = {"config": {"version": 3}, "members": [{**MEMBER, "damage": 1.0}]}
    attacked(world, {("auto", 0.05): 40}, **of_auto)
    attacked(world, {("auto", 0.05): None}, weight=0.5, **of_auto)
    attacked(world, {PGD: 140}, weight=0.25)
    for seed in SEEDS:
        world.cell(ranks(150, 99), seed=seed, weight=0.75)
        world.cell(ranks(150, 99), seed=seed, weight=0.75, attack="auto", epsilon=0.05, status="missing")
    tables = world.build()
    assert tables.leaderboard[0].title == "auto@3"
    for weight in (0.5, 0.25, 0.75):
        found = row(tables, model="mf", **{"lambda": weight})
        assert (found.rank, found.p_value, found.worst) == (None, None, None)
        assert "unranked: auto ε=0.05 is missing in seeds 0, 1, 2" in found.flags


def test_an_attack_that_fails_on_one_set_of_targets_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("robench.tables.flags.LEAST_TARGETS", 0)
    world = World(tmp_path / "w", [{**PROMOTED, "metric": "t-hr@10", "epsilon": 0.05}])
    world.targets["sets"] = 2
    arrays = {"target_ranks": [[99] * USERS]}
    for weight in (1.0, 0.5):
        for seed in SEEDS:
            world.cell([1] * USERS, seed=seed, weight=weight, arrays={"target_ranks": [[99] * USERS] * 2})
            for number in range(2 if weight == 1 else 1):
                cell = {"seed": seed, "weight": weight, "attack": "pgd", "epsilon": 0.05, "target_set": number}
                world.cell([1] * USERS, **cell, threat=PROMOTED, arrays=arrays)
    twin, defended = twin_and_defended(world.build())
    assert (twin.rank, defended.rank) == (1, None)
    assert "unranked: pgd ε=0.05 on target set 1 is missing in seeds 0, 1, 2" in defended.flags


def test_a_cell_that_lacks_the_metric_of_the_table_is_missing(world):
    world.metrics = ["ndcg@10", "t-hr@10"]
    world.ranking = [{**PROMOTED, "metric": "t-hr@10", "epsilon": 0.05}]
    arrays = {"arrays": {"target_ranks": [[99] * USERS]}}
    for weight in (1.0, 0.5):
        for seed in SEEDS:
            world.cell([1] * USERS, seed=seed, weight=weight, **arrays)
            for attack in ("fgsm", "pgd"):
                cell = {"seed": seed, "weight": weight, "attack": attack, "epsilon": 0.05, "threat": PROMOTED}
                world.cell([1] * USERS, **cell, **({} if (weight, attack) == (0.5, "pgd") else arrays))
    _, defended = twin_and_defended(world.build())
    assert defended.rank is None
    assert "unranked: pgd ε=0.05 is missing in seeds 0, 1, 2" in defended.flags


def test_where_one_perturbation_serves_all_users_the_same_holds(tmp_path):
    world = World(tmp_path / "w", [PARAMETERS])
    losses = {name: [1.0] * USERS for name in ("loss", "clean_loss")}
    attacked(world, {FGSM: 150, PGD: 40}, threat=TABLES, arrays=losses)
    attacked(world, {FGSM: 140, PGD: None}, weight=0.5, threat=TABLES, arrays=losses)
    _, defended = twin_and_defended(world.build())
    assert (defended.rank, defended.p_value, defended.worst) == (None, None, 0.7)


def test_a_row_that_lacks_seeds_is_named_in_the_flags_of_the_rows_ranked_with_it(world):
    attacked(world, {PGD: 40}, seeds=(0, 1, 2))
    attacked(world, {PGD: 60}, seeds=(0,), weight=0.5)
    attacked(world, {PGD: None}, seeds=(1, 2), weight=0.5)
    twin, defended = twin_and_defended(world.build())
    assert "ranked on 1 of 3 seeds" in twin.flags
    assert "ranked on" not in defended.flags


def test_rows_without_a_seed_in_common_are_unranked_and_say_so(world):
    attacked(world, {PGD: 40}, seeds=(0, 1))
    attacked(world, {PGD: 60}, seeds=(0,), weight=0.5)
    attacked(world, {PGD: None}, seeds=(1,), weight=0.5)
    attacked(world, {PGD: None}, seeds=(0,), weight=0.25)
    attacked(world, {PGD: 60}, seeds=(1,), weight=0.25)
    tables = world.build()
    assert len(tables.rows()) == 3
    for found in tables.rows():
        assert found.rank is None
        assert "unranked: no seed is common to the rows" in found.flags


def test_popularity_needs_no_attack(world):
    attacked(world, {FGSM: 100, PGD: 40})
    for seed in SEEDS:
        world.cell(ranks(20, 99), seed=seed, model="popularity")
    line = row(world.build(), model="popularity")
    assert (line.rank, line.flags) == (None, "")


def test_other_threats_are_not_missing(world):
    attacked(world, {PGD: 40})
    attacked(world, {PGD: 60}, weight=0.5)
    world.cell(ranks(10, 99), attack="cw", epsilon=0.05, threat={**L2, "norm": "linf"})
    world.cell(ranks(10, 99), attack="pgd", epsilon=0.1)
    _, defended = twin_and_defended(world.build())
    assert defended.rank == 1


def skipped(world, **cell):
    """Adds a cell that the plan skips, for each seed.

    The attack of these cells does not fit the model.
    """
    for seed in SEEDS:
        world.cell([], seed=seed, epsilon=0.05, status="missing", **cell).update(status="skipped", reason="no")


def test_an_attack_that_fits_no_model_of_the_table_is_not_in_its_set(world):
    attacked(world, {PGD: 40})
    skipped(world, attack="fgsm")
    tables = world.build()
    assert tables.leaderboard[0].attacks == ("pgd",)
    assert (row(tables).rank, row(tables).flags) == (1, "")


def test_an_ensemble_that_fits_no_model_leaves_the_table_to_the_other_attacks(world):
    attacked(world, {PGD: 40})
    skipped(world, attack="auto")
    tables = world.build()
    assert (tables.leaderboard[0].ensemble, tables.leaderboard[0].attacks) == (False, ("pgd",))
    assert (row(tables).worst, row(tables).rank) == (0.2, 1)


@pytest.mark.parametrize(
    ("lacking", "words"),
    [
        ([0, 1, 2, 3], "pgd ε=0.01, 0.05 are missing in seeds 0, 1"),
        ([1, 3], "pgd ε=0.01, 0.05 on target sets 1, 3 are missing in seeds 0, 1"),
        ([2], "pgd ε=0.01, 0.05 on target set 2 are missing in seeds 0, 1"),
    ],
)
def test_target_sets_with_the_same_gap_share_a_sentence(lacking, words):
    points = frozenset(Point("pgd", epsilon, number) for epsilon in (0.01, 0.05) for number in range(4))
    attacks = AttackSet(points, {"pgd": "pgd"}, standard=False)
    measured = [point for point in points if point.target_set not in lacking]
    assert attacks.missing({0: measured, 1: measured}) == [words]
