"""Tests how the roles of components affect the tables.

The tests include plans that note no roles.
"""

import numpy as np
import pytest
from tests.fakes import EMBEDDING, MEMBER, USERS, World, ranks, row

from robench.api.codec import encode


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "w", [EMBEDDING])


def filled(world, *, line="popularity", attack="auto"):
    """Adds the cells of a good model, a weak baseline and an ensemble.

    The ensemble has one member.
    """
    broke = (np.arange(USERS) < 30).astype(np.int8)
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        world.cell(ranks(100, 99), model=line, seed=seed)
        ensemble = {
            "kind": "ensemble",
            "config": {"version": 3},
            "members": [{**MEMBER, "first_breaks": 30}],
            "arrays": {"member_broke": broke[:, None], "first": broke.astype(np.int64) - 1},
        }
        world.cell(ranks(120, 99), attack=attack, epsilon=0.05, seed=seed, **ensemble)
    return world


def note(world, **roles):
    """Notes the roles of components in the cells of the plan.

    For example, ``baseline="line"`` marks the cells of the model ``line`` as cells of a baseline.
    """
    columns = {"baseline": "model", "standard": "attack"}
    for cell in world.cells:
        cell.update({role: True for role, name in roles.items() if cell[columns[role]] == name})


def test_a_plan_that_notes_no_roles_goes_by_the_names_of_the_built_in_components(world):
    tables = filled(world).build()
    assert tables.leaderboard[0].title == "auto@3"
    assert (row(tables, model="popularity").worst, row(tables, model="popularity").rank) == (None, None)
    assert "baseline" not in encode(row(tables, model="popularity"))


def test_roles_that_are_noted_decide_whatever_the_names(world):
    note(filled(world, line="line", attack="strong"), baseline="line", standard="strong")
    tables = world.build()
    assert tables.leaderboard[0].title == "strong@3"
    assert row(tables).attack_set == "strong@3"
    line = row(tables, model="line")
    assert (line.worst, line.rank, encode(line)["baseline"]) == (None, None, True)


def test_a_model_and_an_ensemble_without_a_role_are_like_any_other(world):
    tables = filled(world, line="rival/popularity", attack="rival/auto").build()
    assert tables.leaderboard[0].title == "custom attack set"
    assert row(tables).attack_set == "custom: rival/auto@3"
    assert [r.key.model for r in tables.rows()] == ["mf"]


def test_a_label_does_not_make_an_attack_the_standard_ensemble(world):
    for seed in (0, 1):
        world.cell(ranks(USERS, 99), seed=seed)
        world.cell(ranks(130, 99), attack="pgd", label="auto@3", epsilon=0.05, seed=seed)
    tables = world.build()
    assert tables.leaderboard[0].title == "custom attack set"
    assert row(tables).attack_set == "custom: auto@3"
