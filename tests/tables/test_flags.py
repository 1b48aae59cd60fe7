"""Tests what sets the flags of a row, and which flags cost a row its rank."""

import numpy as np
import pytest
from tests.fakes import CHECKED, EMBEDDING, FAKES, L2, METRICS, POISONING, USERS, World, ranks, row

from robench.tables.clean import choose_reference
from robench.tables.results import read_results


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "w", [EMBEDDING])


@pytest.mark.parametrize(
    ("cells", "name"),
    [
        ([("pgd", 0.05, 100, {}), ("random-noise", 0.05, 60, {})], "no better than random"),
        ([("pgd", 0.01, 60, {}), ("pgd", 0.05, 100, {})], "not monotone in ε"),
        ([("pgd", 0.05, 60, {"zero": 0.5})], "hidden gradients"),
        ([("pgd", 0.05, 60, {"overshoot": 10.0})], "pgd exceeded its budget 10x"),
        (
            [("pgd", 0.05, 150, {"arrays": {"loss": np.full(USERS, 9.0), "clean_loss": np.ones(USERS)}})],
            "loss up, ranks unchanged",
        ),
    ],
)
def test_flags_are_set_by_the_numbers_and_only_by_them(tmp_path, cells, name):
    honest = [("pgd", 0.01, 100, {}), ("pgd", 0.05, 60, {}), ("random-noise", 0.05, 140, {})]
    for wrong, chosen in ((True, cells), (False, honest)):
        world = World(tmp_path / str(wrong), [EMBEDDING])
        for seed in (0, 1):
            world.cell(ranks(150, 99), seed=seed)
            for attack, epsilon, left, more in chosen:
                world.cell(ranks(left, 99), seed=seed, attack=attack, epsilon=epsilon, **more)
        assert (name in row(world.build()).flags) == wrong


def test_flags_ask_for_the_kind_of_an_attack_and_not_for_its_name(tmp_path):
    for kinds, flagged in ((("gradient", "floor"), True), (("", "floor"), False), (("gradient", ""), False)):
        world = World(tmp_path / "".join(kinds), [EMBEDDING])
        for seed in (0, 1):
            world.cell(ranks(150, 99), seed=seed)
            world.cell(ranks(100, 99), seed=seed, attack="mine", epsilon=0.05, kind=kinds[0])
            world.cell(ranks(60, 99), seed=seed, attack="dice", epsilon=0.05, kind=kinds[1])
        assert (row(world.build()).flags == "no better than random") == flagged


def test_rows_of_two_types_of_devices_are_marked_and_the_baseline_does_not_count(tmp_path):
    for devices, flags in (
        (("cuda:0", "cuda:1", "cpu"), ("", "")),
        (("cuda:0", "cpu", "cpu"), ("measured on cpu and cuda", "measured on cpu and cuda")),
        (("cpu", "cpu", "cuda"), ("", "")),
    ):
        world = World(tmp_path / "-".join(devices).replace(":", ""), [EMBEDDING])
        for seed in (0, 1):
            world.cell(ranks(150, 99), seed=seed, device=devices[0])
            world.cell(ranks(100, 99), seed=seed, attack="a", epsilon=0.05, device=devices[1])
            world.cell(ranks(1, 99), seed=seed, model="popularity", device=devices[2])
        assert row(world.build()).flags == flags[0]


def test_every_row_names_the_device_on_which_it_was_measured(world):
    for seed in (0, 1):
        for model, device in (("mf", "cpu"), ("lstm", "cuda:0")):
            world.cell(ranks(150, 99), seed=seed, model=model, device=device)
            world.cell(ranks(100, 99), seed=seed, attack="a", epsilon=0.05, model=model, device=device)
    tables = world.build()
    assert row(tables, model="mf").flags == "measured on cpu"
    assert row(tables, model="lstm").flags == "measured on cuda"


@pytest.mark.parametrize(("difference", "flagged"), [(0.01, True), (1e-6, False)])
def test_a_victim_whose_clean_scores_differ_between_two_looks_is_flagged(world, difference, flagged):
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed, stochastic=difference * seed)
        world.cell(ranks(50, 99), seed=seed, attack="a", epsilon=0.05)
    assert row(world.build()).flags == ("stochastic" if flagged else "")


def test_few_hits_mean_low_power_and_no_rank(world):
    for seed in (0, 1):
        world.cell(ranks(30, 99), seed=seed)
        world.cell(ranks(5, 99), seed=seed, attack="pgd", epsilon=0.01)
        world.cell(ranks(30, 99), seed=seed, attack="pgd", epsilon=0.05)
    low = row(world.build())
    assert (low.flags, low.rank) == ("low power", None)


@pytest.mark.parametrize("cause", ["checks", "hidden gradients", "few hits", "frozen", ""])
def test_a_row_that_attacks_may_have_missed_has_no_p_value(world, cause):
    good = 30 if cause == "few hits" else 150
    for seed in (0, 1):
        for weight, left in ((1.0, 5), (0.5, 25)):
            defended = {"seed": seed, "weight": weight}
            more = {
                "checks": {"checks": CHECKED | {"saturated": 0.9}},
                "hidden gradients": {"zero": 0.9},
                "frozen": {"adaptive": "frozen"},
            }.get(cause, {})
            world.cell(ranks(good, 99), **defended)
            members = [{"name": "pgd", "kind": "gradient", "everyone": True, "first_breaks": 0}]
            attack = {"attack": "auto", "epsilon": 0.05, "config": {"version": 3}, "members": members}
            world.cell(ranks(left, 99), **defended, **attack, **(more if weight < 1 else {}))
    found = row(world.build(), defense="at")
    assert (found.p_value is None, found.rank is None, found.verdict == "") == ((True,) * 3 if cause else (False,) * 3)


def test_without_ndcg_attacks_are_compared_by_the_metric_of_the_table(world):
    """If attacks were not compared, a row with a blind attack would get a rank."""
    world.ranking = [{**EMBEDDING, "metric": "ndcg@5"}]
    for metrics in (["ndcg@10", "ndcg@5"], ["ndcg@5"], ["t-hr@10", "ndcg@5"]):
        made = world_of(world, metrics)
        assert made.flags == "no better than random"


def world_of(world, metrics):
    """Returns the row of a model under an attack that is weaker than random points."""
    world.metrics, world.cells = metrics, []
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        world.cell(ranks(100, 99), seed=seed, attack="fgsm", epsilon=0.05, queries=20)
        world.cell(ranks(60, 99), seed=seed, attack="random-noise", epsilon=0.05, queries=2)
    return row(world.build())


def test_a_row_is_unranked_if_no_metric_compares_attacks(world, monkeypatch):
    assert choose_reference(read_results(made_folder(world, ["rbo@10", "t-percentile"]), METRICS)) is None
    monkeypatch.setattr("robench.tables.leaderboard.choose_reference", lambda results, table: None)
    made = world_of(world, ["ndcg@10"])
    assert (made.flags, made.rank) == ("gaps not judged", None)


def made_folder(world, metrics):
    world.metrics = metrics
    world.cell(ranks(150, 99))
    world.build()
    return world.store.folder


def test_without_ndcg_the_baseline_is_compared_by_the_metric_of_the_table(world):
    world.ranking, world.metrics = [{**EMBEDDING, "metric": "ndcg@5"}], ["ndcg@5"]
    for seed in (0, 1):
        world.cell(ranks(120, 99), seed=seed, model="popularity")
        world.cell(ranks(100, 99), seed=seed)
        world.cell(ranks(60, 99), seed=seed, attack="pgd", epsilon=0.05)
    made = row(world.build(), model="mf")
    assert (made.flags, made.rank) == ("not above popularity", None)


def test_one_seed_and_missing_cells_are_flagged(world):
    world.cell(ranks(150, 99))
    world.cell(ranks(50, 99), attack="a", epsilon=0.05)
    world.cell([], attack="b", epsilon=0.05, status="missing")
    flags = "incomplete: 2 of 3 cells; unranked: b ε=0.05 is missing in seed 0; one seed"
    assert row(world.build()).flags == flags


def test_flags_are_of_the_table_s_own_threat(world):
    linf = {**L2, "norm": "linf"}
    losses = {"arrays": {"loss": np.ones(USERS), "clean_loss": np.ones(USERS)}}
    world.ranking = [EMBEDDING, {**EMBEDDING, "norm": "linf"}]
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        world.cell(ranks(50, 99), seed=seed, attack="pgd", epsilon=0.05)
        for epsilon, left in ((0.01, 50), (0.05, 90)):
            world.cell(ranks(left, 99), seed=seed, attack="fgsm", epsilon=epsilon, threat=linf, **losses)
    tables = world.build()
    assert row(tables, norm="l2").flags == ""
    assert row(tables, norm="linf").flags == "not monotone in ε"


@pytest.mark.parametrize(("draws", "flagged"), [(2, True), (22, False)])
def test_random_is_a_floor_with_as_many_evaluations_only(world, draws, flagged):
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        world.cell(ranks(100, 99), seed=seed, attack="fgsm", epsilon=0.05, queries=2)
        world.cell(ranks(60, 99), seed=seed, attack="random-noise", epsilon=0.05, queries=draws)
    assert ("no better than random" in row(world.build()).flags) == flagged


def test_more_steps_that_are_weaker_are_flagged(world):
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        for label, steps, left in (("pgd[steps=40]", 40, 100), ("pgd[steps=10]", 10, 60)):
            world.cell(ranks(left, 99), seed=seed, attack="pgd", label=label, epsilon=0.05, config={"steps": steps})
    assert row(world.build()).flags == "more steps are weaker"


def test_as_many_steps_are_not_more_steps(world):
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        for label, left in (("pgd[lr=1]", 100), ("pgd[lr=2]", 60)):
            world.cell(ranks(left, 99), seed=seed, attack="pgd", label=label, epsilon=0.05, config={"steps": 10})
    assert row(world.build()).flags == ""


def test_an_attack_made_elsewhere_never_ranks(world):
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        world.cell(ranks(50, 99), seed=seed, attack="a", epsilon=0.05, adaptive="frozen")
    found = row(world.build())
    assert (found.rank, found.worst, found.flags) == (None, 0.25, "frozen attack")


@pytest.mark.parametrize(("targets", "flags"), [(19, "low power"), (20, "")])
def test_few_promoted_items_mean_low_power(tmp_path, targets, flags):
    world = World(tmp_path / "w", [{**POISONING, "epsilon": 0.05}])
    world.targets["count"] = targets
    for seed in (0, 1):
        promoted = {"arrays": {"target_ranks": [[1] * USERS] * targets}}
        world.cell(ranks(150, 99), seed=seed, **promoted)
        world.cell(ranks(150, 99), seed=seed, attack="b", epsilon=0.05, threat=FAKES, **promoted)
    found = row(world.build())
    assert found.flags == flags
    assert found.users == USERS
    assert [dict(note.numbers) for note in found.notes] == [{"targets": targets}] * (targets < 20)
    assert (found.rank is None) == (targets < 20)


@pytest.mark.parametrize(("fakes", "flagged"), [(2, True), (10, False)])
def test_a_budget_that_was_rounded_up_is_told(tmp_path, monkeypatch, fakes, flagged):
    monkeypatch.setattr("robench.tables.flags.LEAST_TARGETS", 0)
    world = World(tmp_path / "w", [{**POISONING, "epsilon": 0.05}])
    epsilon = (fakes - 0.9) / USERS if flagged else fakes / USERS
    for seed in (0, 1):
        targets = {"arrays": {"target_ranks": [[1] * USERS]}}
        world.cell(ranks(150, 99), seed=seed, **targets)
        achieved = {"epsilon": fakes / USERS, "fake_users": fakes}
        more = {"attack": "b", "epsilon": epsilon, "threat": FAKES, "achieved": achieved, **targets}
        world.cell(ranks(150, 99), seed=seed, **more)
    assert row(world.build()).flags == ("budget rounded up to 2 users" if flagged else "")


@pytest.mark.parametrize(
    ("fakes", "flags", "ranked"),
    [((10, 10), "", True), ((10, 9), "budget not spent", True), ((0, 0), "budget not spent", False)],
)
def test_fewer_fake_users_than_allowed_are_told_and_none_at_all_never_rank(tmp_path, monkeypatch, fakes, flags, ranked):
    monkeypatch.setattr("robench.tables.flags.LEAST_TARGETS", 0)
    world = World(tmp_path / "w", [{**POISONING, "epsilon": 10 / USERS}])
    targets = {"arrays": {"target_ranks": [[1] * USERS]}}
    for seed, users in enumerate(fakes):
        world.cell(ranks(150, 99), seed=seed, **targets)
        achieved = {"epsilon": users / USERS, "fake_users": users}
        more = {"attack": "b", "epsilon": 10 / USERS, "threat": FAKES, "achieved": achieved, **targets}
        world.cell(ranks(150, 99), seed=seed, **more)
    found = row(world.build())
    assert found.flags == flags
    assert (found.rank is not None) == ranked


@pytest.mark.parametrize(("epsilon", "flags"), [(0.05, ""), (0.2, "budget rounded up to 2 users")])
def test_a_budget_that_was_rounded_up_beyond_the_table_s_own_is_not_told(tmp_path, monkeypatch, epsilon, flags):
    monkeypatch.setattr("robench.tables.flags.LEAST_TARGETS", 0)
    world = World(tmp_path / "w", [{**POISONING, "epsilon": epsilon}])
    targets = {"arrays": {"target_ranks": [[1] * USERS]}}
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed, **targets)
        for budget, share in ((0.05, 0.05), (0.2, 0.3)):
            achieved = {"epsilon": share, "fake_users": 2}
            more = {"attack": "b", "epsilon": budget, "threat": FAKES, "achieved": achieved, **targets}
            world.cell(ranks(150, 99), seed=seed, **more)
    assert row(world.build()).flags == flags
