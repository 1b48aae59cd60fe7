"""Tests the sections of a report against numbers computed by hand."""

import numpy as np
import pytest
from tests.fakes import FAKES, L2, MEMBER, POISONING, USERS, World, ranks

from robench.api.threat import Threat
from robench.report.blocks import Bullets, Grid
from robench.report.sections import build_sections

LOSSES = {"loss": np.ones(USERS), "clean_loss": np.ones(USERS), "hit": np.ones(USERS, dtype=bool)}


def grid_of(tables, title):
    """Returns the rows of a section's table, each as {header: cell}."""
    (section,) = (section for section in build_sections(tables) if section.title == title)
    (grid,) = (block for block in section.blocks if isinstance(block, Grid))
    return [dict(zip(grid.head, row, strict=True)) for row in grid.body]


def test_along_epsilon_every_value_stands_behind_its_own(tmp_path):
    world = World(tmp_path / "w", [])
    for seed, more in enumerate((0, 40)):
        world.cell(ranks(100 + more, 99), seed=seed)
        world.cell(ranks(60 + more, 99), seed=seed, attack="pgd", epsilon=0.1)
        world.cell(ranks(40, 99), seed=seed, attack="pgd", epsilon=0.2)
    tables = world.build()
    assert grid_of(tables, "Along ε") == [
        {
            "model": "mf",
            "defence": "none",
            "attack": "pgd",
            "clean": ".6000",
            "along ε": "0.1: .4000, 0.2: .2000",
            "area": ".4000",
        }
    ]
    (curve,) = tables.curves
    assert (curve.threat, curve.seeds) == (Threat("embedding", "test", "l2"), 2)


def test_a_curve_is_of_the_seeds_that_have_all_of_it(tmp_path):
    world = World(tmp_path / "w", [])
    for seed, good in enumerate((100, 100, 160)):
        world.cell(ranks(good, 99), seed=seed)
        world.cell(ranks(good - 20, 99), seed=seed, attack="pgd", epsilon=0.01)
        if seed == 2:
            world.cell(ranks(120, 99), seed=seed, attack="pgd", epsilon=0.05)
    (curve,) = world.build().curves
    assert (curve.value, curve.seeds) == ((0.8, 0.7, 0.6), 1)


def test_seeds_that_have_nothing_in_common_have_no_curve(tmp_path):
    world = World(tmp_path / "w", [])
    world.cell(ranks(100, 99), seed=0)
    world.cell(ranks(60, 99), seed=1, attack="pgd", epsilon=0.1)
    assert world.build().curves == []


def test_the_norm_of_a_curve_is_its_attack_s(tmp_path):
    world = World(tmp_path / "w", [])
    world.cell(ranks(100, 99))
    world.cell(ranks(60, 99), attack="pgd", epsilon=0.1, threat={**L2, "norm": "linf"}, arrays=LOSSES)
    (curve,) = world.build().curves
    assert curve.threat.norm == "linf"


def test_radii_tell_who_was_hit_and_who_was_never_broken(tmp_path):
    world = World(tmp_path / "w", [])
    hit = np.arange(USERS) < 80
    radius = np.where(np.arange(USERS) < 60, 0.25, np.inf)
    world.cell(ranks(80, 99))
    world.cell(ranks(60, 99), attack="cw", epsilon=0.05, arrays={"radius": radius, "hit": hit})
    (row,) = grid_of(world.build(), "Radius of hit users")
    assert (row["users hit"], row["never broken"], row["median"]) == ("40.0%", "25.0%", ".2500")


def test_the_null_control_has_both_its_bounds(tmp_path):
    world = World(tmp_path / "w", [POISONING])
    for seed, start in enumerate((4, 10, 30)):
        world.cell([1] * USERS, seed=seed, arrays={"target_ranks": [[1] * start + [99] * (USERS - start)]})
        hit = {"target_ranks": [[1] * 90 + [99] * (USERS - 90)]}
        world.cell([1] * USERS, seed=seed, attack="b", epsilon=0.05, threat=FAKES, arrays=hit)
    tables = world.build()
    row = next(r for r in grid_of(tables, "Poisoning against its null control") if r["metric"] == "t-hr@10")
    clean = np.array([4, 10, 30]) / USERS
    most = 4.3026527 * clean.std(ddof=1) * np.sqrt(2 / 3)
    assert row["null control"] == f"[-{most:.4f}, {most:.4f}]".replace("0.", ".")
    assert (row["before"], row["after"]) == (f"{clean.mean():.4f}".replace("0.", "."), ".4500")


def test_flags_of_what_no_table_shows_are_explained_too(tmp_path):
    world = World(tmp_path / "w", [])
    for seed in (0, 1):
        world.cell(ranks(100, 99), model="popularity", seed=seed)
        world.cell(ranks(50, 99), seed=seed)
    (section,) = (section for section in build_sections(world.build()) if section.title == "Flags")
    (bullets,) = (block for block in section.blocks if isinstance(block, Bullets))
    assert any(line.startswith("mf, none: **not above popularity**") for line in bullets.lines)


@pytest.mark.parametrize(("norm", "scale", "told"), [("l2", "relative", "0.05"), ("l2", "absolute", "0.05 (absolute)")])
def test_who_was_to_be_broken_and_who_was_stand_apart(tmp_path, norm, scale, told):
    world = World(tmp_path / "w", [])
    member = {**MEMBER, "first_breaks": 70}
    broke = np.where(np.arange(USERS) < 70, 1, 0)[:, None]
    arrays = {**LOSSES, "hit": np.arange(USERS) < 150, "member_broke": broke}
    world.cell(ranks(150, 99))
    threat = {**L2, "norm": norm, "scale": scale}
    world.cell(ranks(80, 99), attack="auto", epsilon=0.05, threat=threat, members=[member], arrays=arrays)
    (row,) = grid_of(world.build(), "What the ensemble's members did")
    assert (row["to break"], row["broken"], row["members"], row["ε"]) == ("150", "70.0", "pgd 100%", told)


def test_labels_of_defences_are_spelled_out_with_the_models_where_one_has_several(tmp_path):
    world = World(tmp_path / "w", [])
    world.cell(ranks(100, 99))
    for model, epsilon in (("mf", 0.05), ("lstm", 0.2), ("sasrec", 0.05)):
        for weight in (0.75, 0.5):
            world.cell(ranks(100, 99), model=model, weight=weight, settings={"epsilon": epsilon, "shortcut": True})
    tables = world.build()
    (section,) = (section for section in build_sections(tables) if section.title == "Settings of the defences")
    assert section.blocks == [
        Bullets(
            [
                "at (on mf, sasrec): `at` with epsilon 0.05, shortcut true.",
                "at (on lstm): `at` with epsilon 0.2, shortcut true.",
            ]
        )
    ]
    one = World(tmp_path / "one", [])
    one.cell(ranks(100, 99), weight=0.5, settings={"epsilon": 0.05})
    (section,) = (s for s in build_sections(one.build()) if s.title == "Settings of the defences")
    assert section.blocks == [Bullets(["at: `at` with epsilon 0.05."])]
    bare = World(tmp_path / "bare", [])
    bare.cell(ranks(100, 99))
    assert "Settings of the defences" not in {section.title for section in build_sections(bare.build())}
