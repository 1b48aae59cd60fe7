"""Tests tables of made-up records against numbers computed by hand."""

import csv

import numpy as np
import pytest
from scipy.stats import ttest_1samp
from tests.fakes import EMBEDDING, FAKES, L2, METRICS, POISONING, PROMOTED, USERS, World, ranks, row

from robench.api.codec import columns
from robench.api.errors import UserError
from robench.api.metric import Measure
from robench.api.threat import Threat
from robench.report.files import write_tables
from robench.report.leaderboard import build_leaderboard_grid, format_title
from robench.report.markdown import to_markdown
from robench.store.record import new_record
from robench.tables.cells import ValueRow
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable
from robench_plugins.metrics.stability import Jaccard


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "w", [EMBEDDING])


def test_worst_case_is_per_user_over_clean_and_all_attacks_within_the_budget(world):
    half = USERS // 2
    for seed in (0, 1):
        world.cell([1] * USERS, seed=seed)
        # Attack a breaks the first half of the users, and attack b the second half. Together they break all users.
        world.cell([99] * half + [1] * half, seed=seed, attack="a", epsilon=0.05)
        world.cell([1] * half + [99] * half, seed=seed, attack="b", epsilon=0.01)
        world.cell([1] * USERS, seed=seed, attack="b", epsilon=0.1)
    found = row(world.build())
    assert found.clean == 1
    assert found.worst == 0
    assert found.drop == 1
    assert found.attack_set == "custom: a, b"
    assert (found.seeds, found.users, found.users_hit) == (2, USERS, USERS)


def test_beyond_the_budget_nothing_counts(world):
    world.cell([1] * USERS)
    world.cell([1] * USERS, attack="a", epsilon=0.05)
    world.cell([99] * USERS, attack="a", epsilon=0.06)
    assert row(world.build()).worst == 1


def test_other_threats_are_never_mixed_in(world):
    world.cell([1] * USERS)
    world.cell([1] * USERS, attack="a", epsilon=0.05)
    world.cell([99] * USERS, attack="c", epsilon=0.05, threat={**L2, "norm": "linf"})
    world.cell([99] * USERS, attack="d", epsilon=0.05, threat={**L2, "k": 5})
    assert row(world.build()).worst == 1


def test_poisoning_is_the_single_worst_attack_never_a_maximum_over_users(tmp_path):
    world = World(tmp_path / "w", [POISONING])
    half = USERS // 2
    for seed in (0, 1):
        world.cell([1] * USERS, seed=seed, arrays={"target_ranks": [[99] * USERS]})
        first, second = [1] * half + [99] * half, [99] * (half - 20) + [1] * (half + 20)
        for attack, targets in (("a", first), ("b", second)):
            world.cell(
                [1] * USERS, seed=seed, attack=attack, epsilon=0.05, threat=FAKES, arrays={"target_ranks": [targets]}
            )
    found = row(world.build())
    assert found.clean == 0
    assert found.worst == (half + 20) / USERS
    assert found.drop is None


def test_ranks_p_values_and_the_popularity_line(world):
    for seed in (0, 1):
        world.cell(ranks(20, 99), model="popularity", seed=seed)
        for model, clean, attacked in (("mf", 150, {1.0: 40, 0.5: 100}), ("lstm", 160, {1.0: 90, 0.5: 90})):
            for weight, left in attacked.items():
                world.cell(ranks(clean, 99), model=model, seed=seed, weight=weight)
                world.cell(ranks(left, 99), model=model, seed=seed, weight=weight, attack="a", epsilon=0.05)
    tables = world.build()
    line = row(tables, model="popularity")
    assert (line.rank, line.worst, line.clean) == (None, None, 0.1)
    best, twin = row(tables, model="mf", **{"lambda": 0.5}), row(tables, model="mf", **{"lambda": 1.0})
    assert (best.rank, best.rank_low, best.rank_high) == (1, 1, 1)
    assert (twin.rank, twin.rank_low, twin.rank_high) == (2, 2, 2)
    assert twin.p_value is None
    # The seeds are equal, so the test is Student's t over users, and Holm's method corrects for two rows.
    assert best.p_value == pytest.approx(2 * ttest_1samp(ranks(60, 0), 0).pvalue)
    assert best.verdict.startswith("gains +.3000 [+.2")
    assert twin.verdict == line.verdict == ""
    tied = [row(tables, model="lstm", **{"lambda": w}) for w in (0.5, 1.0)]
    assert {(r.rank_low, r.rank_high) for r in tied} == {(1, 2)}
    assert {(r.p_value, r.verdict) for r in tied if r.key.defended} == {
        (1, "undecided .0000 [.0000, .0000]; neither 100 seeds nor 100,000 users would decide")
    }


def test_a_victim_that_does_not_clear_popularity_is_flagged_and_unranked(world):
    for seed in (0, 1):
        world.cell(ranks(60, 99), model="popularity", seed=seed)
        world.cell(ranks(60, 99), model="mf", seed=seed)
        world.cell(ranks(10, 99), model="mf", seed=seed, attack="a", epsilon=0.05)
        world.cell(ranks(120, 99), model="lstm", seed=seed)
        world.cell(ranks(10, 99), model="lstm", seed=seed, attack="a", epsilon=0.05)
    tables = world.build()
    weak, sound = row(tables, model="mf"), row(tables, model="lstm")
    assert weak.rank is None
    assert "not above popularity" in weak.flags
    assert sound.rank == 1
    assert "not above popularity" not in sound.flags


def test_poisoning_stands_beside_its_null_control(tmp_path):
    world = World(tmp_path / "w", [POISONING])
    for seed, level in enumerate((50, 52, 54)):
        world.cell([1] * USERS, seed=seed, arrays={"target_ranks": [[level] * USERS]})
        for attack, moved in (("strong", 20), ("idle", level + (-1) ** seed)):
            world.cell(
                [1] * USERS,
                seed=seed,
                attack=attack,
                epsilon=0.05,
                threat=FAKES,
                arrays={"target_ranks": [[moved] * USERS]},
            )
    found = {(r.attack_label, str(r.metric)): r for r in world.build().poisoning}
    strong, idle = found["strong", "t-percentile"], found["idle", "t-percentile"]
    assert strong.verdict == "rises"
    assert strong.effect[0] == pytest.approx((52 - 20) / 99)
    assert idle.verdict == "none"
    assert found["strong", "ndcg@10"].verdict == "none"
    # The clean means of the three seeds have σ = 2/99. The interval is ± 4.303 · 2/99 · √(2/3).
    assert strong.control[2] == pytest.approx(4.3026527 * 2 / 99 * np.sqrt(2 / 3))


def test_the_area_under_the_curve_is_the_mean_over_the_budget(world):
    for seed in (0, 1):
        world.cell([1] * USERS, seed=seed)
        for epsilon, left in ((0.01, 150), (0.05, 100), (0.1, 0)):
            world.cell(ranks(left, 99), seed=seed, attack="a", epsilon=epsilon)
    (found,) = world.build().curves
    assert found.value == (1, 0.75, 0.5, 0)
    assert found.area == pytest.approx((0.01 * 0.875 + 0.04 * 0.625 + 0.05 * 0.25) / 0.1)


def test_radii_are_of_hit_users(world):
    for seed in (0, 1):
        world.cell(ranks(100, 99), seed=seed)
        radius = np.where(np.arange(USERS) < 100, np.arange(USERS) / 100, 0.0)
        radius[10] = np.inf
        for epsilon in (0.01, 0.05):
            arrays = {"radius": radius, "hit": np.arange(USERS) < 100}
            world.cell(ranks(90, 99), seed=seed, attack="cw", epsilon=epsilon, arrays=arrays)
    (found,) = world.build().radii
    assert found.hit_share == 0.5
    assert found.unbroken_share == 0.01
    assert found.radius_q50 == pytest.approx(0.5, abs=0.02)
    assert found.seeds == 2


@pytest.mark.usefixtures("undrawn")
def test_files_have_the_fixed_headers_and_do_not_depend_on_the_order_of_writing(world, tmp_path):
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        world.cell(ranks(50, 99), seed=seed, attack="a", epsilon=0.05)
    world.store.write(new_record("f" * 16, "x", "ok", metrics={}), None)  # not in the plan, so ignored
    write_tables(world.build(), world.store.folder)
    one = {p.name: p.read_bytes() for p in world.store.folder.glob("*.*") if p.name not in ("plan.json", "timings.csv")}
    for path in (world.store.folder / "cells").iterdir():
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    write_tables(world.build(), world.store.folder)
    two = {p.name: p.read_bytes() for p in world.store.folder.glob("*.*") if p.name not in ("plan.json", "timings.csv")}
    assert one == two
    with (world.store.folder / "cells.csv").open() as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert reader.fieldnames == columns(ValueRow)
    assert len({r["cell"] for r in rows}) == 4
    assert one["leaderboard.csv"].decode().splitlines()[0].split(",") == columns(LeaderboardRow)
    assert "NaN" not in one["leaderboard.json"].decode()
    assert "custom attack set" in one["leaderboard.md"].decode()
    fixed = (
        "suite,cell,victim,dataset,split,model,model_label,defense,defense_label,lambda,train_epsilon,attack,"
        "attack_label,stage,surface,norm,scale,goal,k,epsilon,achieved_epsilon,adaptive,target_set,seed,status,metric,"
        "metric_version,value"
    )
    assert ",".join(columns(ValueRow)) == fixed
    fixed = (
        "rank,rank_low,rank_high,dataset,split,surface,stage,norm,scale,goal,k,epsilon,metric,model,model_label,"
        "defense,defense_label,lambda,train_epsilon,attack_set,adaptive,clean,clean_low,clean_high,worst,worst_low,"
        "worst_high,drop,p_value,flags,seeds,users,verdict,best_known"
    )
    assert ",".join(columns(LeaderboardRow)) == fixed


def test_another_version_of_a_metric_is_refused(world):
    world.cell(ranks(150, 99), version=2)
    world.cell(ranks(50, 99), attack="a", epsilon=0.05)
    with pytest.raises(UserError, match="two versions are never compared"):
        world.build()


def test_a_seed_without_the_attack_is_left_out_of_the_worst_case(world):
    for seed in (0, 1, 2):
        world.cell(ranks(150, 99), seed=seed)
        if seed < 2:
            world.cell(ranks(50, 99), seed=seed, attack="a", epsilon=0.05)
    found = row(world.build())
    assert (found.worst, found.seeds, found.rank) == (0.25, 2, 1)


def test_a_suite_without_the_reference_metric_has_tables(world, monkeypatch):
    monkeypatch.delitem(METRICS, "ndcg")
    for seed in (0, 1):
        targets = {"arrays": {"target_ranks": [[1] * USERS]}}
        world.cell(ranks(150, 99), seed=seed, **targets)
        world.cell(ranks(50, 99), seed=seed, attack="pgd", epsilon=0.05, threat=PROMOTED, **targets)
    world.ranking, world.metrics = [{**PROMOTED, "metric": "t-hr@10", "epsilon": 0.05}], ["t-hr@10"]
    assert row(world.build()).worst == 1


def test_users_hit_are_counted_at_the_metric_s_own_k(world):
    world.ranking = [{**EMBEDDING, "k": 5}]
    for seed in (0, 1):
        world.cell([7] * USERS, seed=seed)
        world.cell([99] * USERS, seed=seed, attack="a", epsilon=0.05, threat={**L2, "k": 5})
    tables = world.build()
    assert row(tables).users_hit == USERS
    assert tables.leaderboard[0].hit_k == 10


@pytest.mark.parametrize(("moved", "verdict"), [(9, "falls"), (2, "none"), (0, "none")])
def test_poisoned_lists_stand_beside_the_lists_of_other_seeds(tmp_path, monkeypatch, moved, verdict):
    monkeypatch.setitem(METRICS, "jaccard", Jaccard())
    world = World(tmp_path / "w", [POISONING])
    world.metrics = ["jaccard@10"]
    for seed, start in enumerate((0, 2, 1)):  # two seeds share eight or nine of ten items: Jaccard 8/12, 9/11, 9/11
        for shift, more in ((0, {}), (moved, {"attack": "a", "epsilon": 0.05, "threat": FAKES})):
            top = np.tile(np.arange(10) + start + shift, (USERS, 1))
            world.cell([1] * USERS, seed=seed, arrays={"top": top}, **more)
    tables = world.build()
    (found,) = tables.poisoning
    assert "Rows of jaccard@10 say how alike two lists are (higher is more alike" in to_markdown(tables)
    assert found.before == pytest.approx((8 / 12 + 9 / 11 + 9 / 11) / 3)
    assert found.after == pytest.approx((10 - moved) / (10 + moved))
    sigma = np.std([8 / 12, 9 / 11, 9 / 11], ddof=1)
    assert found.control[2] == pytest.approx(4.3026527 * sigma * np.sqrt(2 / 3))
    assert found.verdict == verdict


@pytest.mark.usefixtures("undrawn")
def test_failures_are_listed_by_name(world):
    world.cell(ranks(100, 99))
    error = {"type": "RuntimeError", "message": "no\nluck", "traceback": "..."}
    cell = world.cell([], attack="pgd", epsilon=0.05, status="failed", error=error)["cell"]
    tables = world.build()
    write_tables(tables, world.store.folder)
    wanted = f"- d, mf, none, pgd ε=0.05, seed 0: RuntimeError: no luck (cell {cell})"
    assert wanted in (world.store.folder / "leaderboard.md").read_text()


def test_labels_and_errors_are_no_markup(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    for seed in (0, 1):
        world.cell(ranks(100, 99), seed=seed, model="a|b<i>")
        world.cell(ranks(50, 99), seed=seed, model="a|b<i>", attack="pgd", epsilon=0.05, label="p|<b>")
    world.cell([], model="m", attack="x", epsilon=0.05, status="failed", error={"type": "E", "message": "<s>\n"})
    text = to_markdown(world.build())
    assert "<" not in text.replace("&lt;", "")
    assert "a\\|b&lt;i>" in text
    for block in text.split("\n\n"):
        rows = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1, "as many cells in every row"


def test_promotion_is_shown_as_a_difference(tmp_path):
    world = World(tmp_path / "w", [POISONING])
    for seed in (0, 1):
        world.cell([1] * USERS, seed=seed, arrays={"target_ranks": [[1] * 2 + [99] * (USERS - 2)]})
        targets = {"target_ranks": [[1] * 80 + [99] * (USERS - 80)]}
        world.cell([1] * USERS, seed=seed, attack="b", epsilon=0.05, threat=FAKES, arrays=targets)
    tables = world.build()
    grid = build_leaderboard_grid(tables.leaderboard[0])
    head, (line,) = grid.head, grid.body
    assert "drop" not in head
    assert line[head.index("shift")].startswith(".3900 [")
    assert row(tables).drop == pytest.approx(1 - 0.4 / 0.01)


def test_intervals_stay_where_a_metric_can_be(world):
    for seed, good in ((0, 6), (1, 0)):  # Student's t interval over two seeds extends far below 0
        world.cell(ranks(good, 99), seed=seed)
        world.cell(ranks(0, 99), seed=seed, attack="a", epsilon=0.05)
    found = row(world.build())
    assert (found.clean_low, found.worst_low) == (0, 0)
    assert 0 < found.clean < found.clean_high < 1


def test_effects_and_controls_stay_where_a_difference_can_be(tmp_path):
    """Two seeds that disagree give an interval beyond the range of a difference.

    With two seeds, Student's t has one degree of freedom, so the interval is wide. The tables cut the interval to [−1,
    1].
    """
    world = World(tmp_path / "w", [POISONING])
    for seed, (before, after) in enumerate(((99, 1), (1, 99))):
        world.cell([1] * USERS, seed=seed, arrays={"target_ranks": [[before] * USERS]})
        arrays = {"target_ranks": [[after] * USERS]}
        world.cell([1] * USERS, seed=seed, attack="b", epsilon=0.05, threat=FAKES, arrays=arrays)
    world.metrics = ["t-percentile"]
    tables = world.build()
    (found,) = tables.poisoning
    assert "how alike two lists are" not in to_markdown(tables)
    assert found.effect == (0, -1, 1)
    assert found.control == (0, -1, 1)


def test_the_heading_names_an_ensemble_and_no_other_attack_set(tmp_path):
    member = {"name": "pgd-10", "kind": "gradient", "users": 1, "queries": 1, "gradients": 1, "first_breaks": 1}
    expired = " (auto@2, expired: auto@3 is current)\n"
    cases = [("auto", {"version": 3}, " (auto@3)\n"), ("auto", {"version": 2}, expired), ("pgd", {}, "ε ≤ 0.05\n")]
    for number, (attack, config, heading) in enumerate(cases):
        world = World(tmp_path / str(number), [EMBEDDING])
        world.cell(ranks(100, 99))
        world.cell(ranks(50, 99), attack=attack, epsilon=0.05, config=config, members=[member])
        (line,) = [line for line in to_markdown(world.build()).splitlines(keepends=True) if " under " in line]
        assert line.startswith("## ")
        assert line.endswith(heading)
        assert ("**Expired**" in to_markdown(world.build())) == (heading == expired)


@pytest.mark.usefixtures("undrawn")
def test_without_a_null_control_there_is_no_verdict(tmp_path):
    world = World(tmp_path / "w", [POISONING])
    world.cell([1] * USERS, arrays={"target_ranks": [[99] * USERS]})
    world.cell([1] * USERS, attack="b", epsilon=0.05, threat=FAKES, arrays={"target_ranks": [[1] * USERS]})
    tables = world.build()
    assert {row.verdict for row in tables.poisoning} == {""}
    write_tables(tables, world.store.folder)
    poisoned = (world.store.folder / "leaderboard.md").read_text().partition("## Poisoning")[2]
    assert "rises" not in poisoned
    assert "| –         |" in poisoned


def test_the_weight_of_a_defence_in_its_own_terms_stands_beside_lambda(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed, weight=0.25, fit={"train_lambda_apr": 3.0, "train_epsilon_share": 1.0})
        world.cell(ranks(100, 99), seed=seed, weight=0.25, attack="pgd", epsilon=0.05)
    tables = world.build()
    assert row(tables).own_weights == {"lambda_apr": 3.0}
    assert "at λ=0.25, lambda_apr 3" in to_markdown(tables)


@pytest.mark.parametrize(("scale", "told"), [("absolute", "ε ≤ 2 edits"), ("relative", "ε ≤ 0.1 of the history")])
def test_a_table_of_histories_says_what_its_budget_counts(scale, told):
    threat, epsilon = Threat("history", "test", "edits", scale), 2 if scale == "absolute" else 0.1
    table = LeaderboardTable(threat, epsilon, Measure("ndcg", 10), "d", "s", "auto@1", True, 10, False, (), ())
    assert format_title(table).endswith(told)
