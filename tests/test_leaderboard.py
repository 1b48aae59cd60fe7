"""Tables out of records made by hand, against numbers worked out by hand."""

import csv
import json
import random

import numpy as np
import pytest

from robench.api.errors import UserError
from robench.leaderboard import CELLS, LEADERBOARD, build_tables, write_tables
from robench.record import new_record
from robench.store import Store
from robench_plugins.metrics.ranking import Ndcg
from robench_plugins.metrics.stability import Rbo
from robench_plugins.metrics.targets import TargetHitRate, TargetPercentile

USERS = 200
METRICS = {"ndcg": Ndcg(), "rbo": Rbo(), "t-hr": TargetHitRate(), "t-percentile": TargetPercentile()}
L2 = {"stage": "test", "surface": "embedding", "norm": "l2", "scale": "relative", "goal": "untargeted", "k": 10}
FAKES = {"stage": "train", "surface": "interactions", "norm": "users", "scale": "relative", "goal": "promote", "k": 10}
NOTHING = dict.fromkeys(("stage", "surface", "norm", "scale", "goal"), "") | {"k": None}
EMBEDDING = {**L2, "metric": "ndcg@10", "epsilon": 0.05}
POISONING = {**FAKES, "metric": "t-hr@10", "epsilon": 0.05}


class World:
    """A folder of results, cell by cell."""

    def __init__(self, folder, ranking):
        self.store, self.cells, self.ranking = Store(folder), [], ranking

    def cell(self, ranks, *, model="mf", seed=0, weight=1.0, attack="none", epsilon=0.0, threat=None, **more):
        name = f"{len(self.cells):016x}"
        threat = threat or (NOTHING if attack == "none" else L2)
        defense = "none" if weight == 1 else "at"
        victim = f"{model}-{weight}-{seed}" + ("-p" if threat is FAKES else "")
        columns = {
            "cell": name,
            "victim": victim,
            "dataset": "d",
            "split": "s",
            "model": model,
            "model_label": model,
            "defense": defense,
            "defense_label": defense,
            "lambda": weight,
            "train_epsilon": None if weight == 1 else 0.05,
            "attack": attack,
            "attack_label": attack,
            **threat,
            "epsilon": epsilon,
            "adaptive": "",
            "target_set": 0 if threat is FAKES else None,
            "seed": seed,
            "status": "planned",
            "reason": "",
        }
        self.cells.append(columns)
        status = more.pop("status", "ok")
        if status == "missing":
            return columns
        ranks = np.asarray(ranks, dtype=np.int64)
        n = len(ranks)
        arrays = {
            "users": np.arange(n),
            "indptr": np.arange(n + 1),
            "ranks": ranks,
            "top": np.tile(np.arange(10), (n, 1)),
            "candidates": np.full(n, 100),
            **{key: np.asarray(value) for key, value in more.pop("arrays", {}).items()},
        }
        if attack != "none" and threat is L2:
            arrays.setdefault("loss", np.ones(n))
            arrays.setdefault("clean_loss", np.ones(n))
        record = new_record(
            name,
            victim,
            status,
            spec={"attack": {"config": more.pop("config", {})}},
            metrics={"ndcg@10": {"value": 0.5, "version": more.pop("version", 1)}},
            achieved={"epsilon": epsilon, "overshoot": more.pop("overshoot", 1.0)},
            diagnostics={"zero_gradient_share": more.pop("zero", 0.0), "non_finite_share": 0.0},
            seconds=1.0,
            fit_seconds=2.0,
            peak_memory_mib=3.0,
            error=None,
        )
        self.store.write(record, arrays if status == "ok" else None)
        return columns

    def build(self, shuffle=False):
        cells = random.Random(0).sample(self.cells, len(self.cells)) if shuffle else self.cells
        plan = {
            "format_version": 1,
            "suite": "w",
            "protocol_version": 1,
            "metrics": ["ndcg@10", "rbo@10", "t-hr@10", "t-percentile"],
            "ranking": self.ranking,
            "targets": {"count": 1, "pick": "unpopular", "sets": 1},
            "seeds": [0, 1],
            "cells": cells,
        }
        self.store.cells.mkdir(parents=True, exist_ok=True)
        (self.store.folder / "plan.json").write_text(json.dumps(plan))
        return build_tables(self.store.folder, METRICS)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "w", [EMBEDDING])


def ranks(good, bad, n=USERS):
    """The first ``good`` users rank 1, the rest rank ``bad``."""
    return [1] * good + [bad] * (n - good)


def row(tables, **wanted):
    return next(r for r in tables.rows() if all(r[k] == v for k, v in wanted.items()))


def test_worst_case_is_per_user_over_clean_and_all_attacks_within_the_budget(world):
    half = USERS // 2
    for seed in (0, 1):
        world.cell([1] * USERS, seed=seed)
        # a breaks the first half, b the second: together everybody, though each attack alone leaves half.
        world.cell([99] * half + [1] * half, seed=seed, attack="a", epsilon=0.05)
        world.cell([1] * half + [99] * half, seed=seed, attack="b", epsilon=0.01)
        world.cell([1] * USERS, seed=seed, attack="b", epsilon=0.1)
    found = row(world.build())
    assert found["clean"] == 1
    assert found["worst"] == 0
    assert found["drop"] == 1
    assert found["attack_set"] == "custom: a, b"
    assert (found["seeds"], found["users"], found["users_hit"]) == (2, USERS, USERS)


def test_beyond_the_budget_nothing_counts(world):
    world.cell([1] * USERS)
    world.cell([1] * USERS, attack="a", epsilon=0.05)
    world.cell([99] * USERS, attack="a", epsilon=0.06)
    assert row(world.build())["worst"] == 1


def test_other_threats_are_never_mixed_in(world):
    world.cell([1] * USERS)
    world.cell([1] * USERS, attack="a", epsilon=0.05)
    world.cell([99] * USERS, attack="c", epsilon=0.05, threat={**L2, "norm": "linf"})
    world.cell([99] * USERS, attack="d", epsilon=0.05, threat={**L2, "k": 5})
    assert row(world.build())["worst"] == 1


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
    assert found["clean"] == 0
    assert found["worst"] == (half + 20) / USERS
    assert found["drop"] is None


def test_ranks_p_values_and_the_popularity_line(world):
    for seed in (0, 1):
        world.cell(ranks(20, 99), model="popularity", seed=seed)
        for model, clean, attacked in (("mf", 150, {1.0: 40, 0.5: 100}), ("lstm", 160, {1.0: 90, 0.5: 90})):
            for weight, left in attacked.items():
                world.cell(ranks(clean, 99), model=model, seed=seed, weight=weight)
                world.cell(ranks(left, 99), model=model, seed=seed, weight=weight, attack="a", epsilon=0.05)
    tables = world.build()
    line = row(tables, model="popularity")
    assert (line["rank"], line["worst"], line["clean"]) == (None, None, 0.1)
    best, twin = row(tables, model="mf", **{"lambda": 0.5}), row(tables, model="mf", **{"lambda": 1.0})
    assert (best["rank"], best["rank_low"], best["rank_high"]) == (1, 1, 1)
    assert (twin["rank"], twin["rank_low"], twin["rank_high"]) == (2, 2, 2)
    assert twin["p_value"] is None
    # 60 differences of one sign, Holm over two rows: 2 · (1 + 0) / 10,001.
    assert best["p_value"] == pytest.approx(2 / 10_001)
    tied = [row(tables, model="lstm", **{"lambda": w}) for w in (0.5, 1.0)]
    assert {(r["rank_low"], r["rank_high"]) for r in tied} == {(1, 2)}
    assert tied[0]["p_value"] == 1


def test_a_victim_that_does_not_clear_popularity_is_flagged_and_unranked(world):
    for seed in (0, 1):
        world.cell(ranks(60, 99), model="popularity", seed=seed)
        world.cell(ranks(60, 99), model="mf", seed=seed)
        world.cell(ranks(10, 99), model="mf", seed=seed, attack="a", epsilon=0.05)
        world.cell(ranks(120, 99), model="lstm", seed=seed)
        world.cell(ranks(10, 99), model="lstm", seed=seed, attack="a", epsilon=0.05)
    tables = world.build()
    weak, sound = row(tables, model="mf"), row(tables, model="lstm")
    assert weak["rank"] is None
    assert "below popularity" in weak["flags"]
    assert sound["rank"] == 1
    assert "below popularity" not in sound["flags"]


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
        assert (name in row(world.build())["flags"]) == wrong


def test_few_hits_mean_low_power_and_no_verdict(world):
    for seed in (0, 1):
        world.cell(ranks(30, 99), seed=seed)
        world.cell(ranks(5, 99), seed=seed, attack="pgd", epsilon=0.01)
        world.cell(ranks(30, 99), seed=seed, attack="pgd", epsilon=0.05)
    assert row(world.build())["flags"] == "low power"


def test_one_seed_and_missing_cells_are_flagged(world):
    world.cell(ranks(150, 99))
    world.cell(ranks(50, 99), attack="a", epsilon=0.05)
    world.cell([], attack="b", epsilon=0.05, status="missing")
    assert row(world.build())["flags"] == "incomplete: 2 of 3 cells; one seed"


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
    found = {(r["attack_label"], r["metric"]): r for r in world.build().poisoning}
    strong, idle = found["strong", "t-percentile"], found["idle", "t-percentile"]
    assert strong["verdict"] == "rises"
    assert strong["effect"][0] == pytest.approx((52 - 20) / 99)
    assert idle["verdict"] == "none"
    assert found["strong", "ndcg@10"]["verdict"] == "none"
    # σ of the clean means is 2/99, three seeds: ± 4.303 · 2/99 · √(2/3).
    assert strong["control"][2] == pytest.approx(4.3026527 * 2 / 99 * np.sqrt(2 / 3))


def test_the_area_under_the_curve_is_the_mean_over_the_budget(world):
    for seed in (0, 1):
        world.cell([1] * USERS, seed=seed)
        for epsilon, left in ((0.01, 150), (0.05, 100), (0.1, 0)):
            world.cell(ranks(left, 99), seed=seed, attack="a", epsilon=epsilon)
    (found,) = world.build().curves
    assert found["value"] == [1, 0.75, 0.5, 0]
    assert found["area"] == pytest.approx((0.01 * 0.875 + 0.04 * 0.625 + 0.05 * 0.25) / 0.1)


def test_radii_are_of_hit_users(world):
    for seed in (0, 1):
        world.cell(ranks(100, 99), seed=seed)
        radius = np.where(np.arange(USERS) < 100, np.arange(USERS) / 100, np.inf)
        radius[10] = np.inf
        for epsilon in (0.01, 0.05):
            arrays = {"radius": radius, "hit": np.arange(USERS) < 100}
            world.cell(ranks(90, 99), seed=seed, attack="cw", epsilon=epsilon, arrays=arrays)
    (found,) = world.build().radii
    assert found["hit_share"] == 0.5
    assert found["unbroken_share"] == 0.01
    assert found["radius_q50"] == pytest.approx(0.5, abs=0.02)
    assert found["seeds"] == 2


def test_files_have_the_fixed_headers_and_do_not_depend_on_the_order_of_writing(world, tmp_path):
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        world.cell(ranks(50, 99), seed=seed, attack="a", epsilon=0.05)
    world.store.write(new_record("f" * 16, "x", "ok", metrics={}), None)  # not in the plan: ignored
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
    assert reader.fieldnames == CELLS
    assert len({r["cell"] for r in rows}) == 4
    assert one["leaderboard.csv"].decode().splitlines()[0].split(",") == LEADERBOARD
    assert "NaN" not in one["leaderboard.json"].decode()
    assert "custom attack set" in one["leaderboard.md"].decode()
    fixed = (
        "suite,cell,victim,dataset,split,model,model_label,defense,defense_label,lambda,train_epsilon,attack,"
        "attack_label,stage,surface,norm,scale,goal,k,epsilon,achieved_epsilon,adaptive,target_set,seed,status,metric,"
        "metric_version,value"
    )
    assert ",".join(CELLS) == fixed


def test_another_version_of_a_metric_is_refused(world):
    world.cell(ranks(150, 99), version=2)
    world.cell(ranks(50, 99), attack="a", epsilon=0.05)
    with pytest.raises(UserError, match="two versions are never compared"):
        world.build()
