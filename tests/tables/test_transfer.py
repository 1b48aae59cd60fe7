"""Tests the matrix of attacks with fake users and victims."""

import json

import pytest
from tests.fakes import FAKES, USERS, World

from robench.report.blocks import Grid
from robench.report.files import to_json
from robench.report.markdown import to_markdown
from robench.report.page import to_page
from robench.report.sections import build_sections
from robench.report.transfer import build_transfer_section

SEEDS, CLEAN = (0, 1, 2), 60
ATTACKS = {"revadv": ("wmf", 30), "on items": ("item-ae", 40), "bandwagon": ("", 50)}  # surrogate, rank under attack


def fill(world, models=("wmf", "mf"), attacks=ATTACKS, **more):
    """Adds clean and attacked cells of every model and seed."""
    for model in models:
        for seed in SEEDS:
            world.cell([1] * USERS, model=model, seed=seed, arrays={"target_ranks": [[CLEAN + seed] * USERS]}, **more)
            for label, (surrogate, rank) in attacks.items():
                world.cell(
                    [1] * USERS,
                    model=model,
                    seed=seed,
                    attack=label,
                    epsilon=0.05,
                    threat=FAKES,
                    arrays={"target_ranks": [[rank + seed] * USERS]},
                    **({"surrogate": named} if (named := model if surrogate is None else surrogate) else {}),
                    **more,
                )


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "w", [])


def matrix(tables):
    """Returns the lines of the only matrix, as cells by column."""
    (grid,) = (block for block in build_transfer_section(tables).blocks if isinstance(block, Grid))
    return [dict(zip(grid.head, line, strict=True)) for line in grid.body]


def test_a_line_is_an_attack_and_a_column_is_a_victim(world):
    fill(world)
    lines = matrix(world.build())
    assert [(line["attack"], line["surrogate"], line["knows"]) for line in lines] == [
        ("revadv", "wmf", "all users"),
        ("on items", "item-ae", "all users"),
        ("bandwagon", "–", "all users"),
    ]
    assert lines[0]["wmf"].startswith(".3030 [")
    assert lines[0]["wmf"].endswith("] rises, same model")
    assert lines[0]["mf"].endswith("] rises")
    assert lines[1]["wmf"].startswith(".2020 [")


def test_the_values_are_those_of_the_poisoning_rows(world):
    fill(world)
    tables = world.build()
    effects = {
        (r.key.model_label, r.attack_label): (r.effect, r.control, r.verdict)
        for r in tables.poisoning
        if str(r.metric) == "t-percentile"
    }
    assert {(r.key.model_label, r.attack_label): (r.effect, r.control, r.verdict) for r in tables.transfer} == effects
    assert {(r.key.model_label, r.attack_label) for r in tables.transfer if r.same_model} == {("wmf", "revadv")}


def test_an_attack_on_the_victim_s_own_pipeline_has_the_same_model_everywhere(world):
    fill(world, attacks={"best": (None, 20), "revadv": ("wmf", 30)})
    lines = matrix(world.build())
    assert lines[0]["surrogate"] == "the victim's model"
    assert lines[0]["wmf"].endswith("same model")
    assert lines[0]["mf"].endswith("same model")


def test_a_matrix_needs_two_attacks_with_a_surrogate_among_them_and_two_victims(tmp_path):
    worlds = {
        "one victim": {"models": ["wmf"]},
        "one attack": {"attacks": {"revadv": ("wmf", 30)}},
        "no surrogate": {"attacks": {"bandwagon": ("", 50), "random": ("", 60)}},
    }
    for name, parts in worlds.items():
        world = World(tmp_path / name, [])
        fill(world, **parts)
        tables = world.build()
        assert tables.poisoning
        assert tables.transfer == []
        assert "Transfer" not in {section.title for section in build_sections(tables)}
        assert "transfer" not in json.loads(to_json(tables))


def test_defended_victims_are_left_out_and_data_sets_stand_apart(world):
    fill(world)
    fill(world, weight=0.5)
    fill(world, dataset="e", attacks={**ATTACKS, "revadv": ("wmf", 10)})
    tables = world.build()
    assert len(tables.transfer) == 12
    blocks = build_transfer_section(tables).blocks
    assert blocks[1] == "**d**"
    assert blocks[3] == "**e**"
    assert blocks[4].body[0][4].startswith(".5051 [")


def test_one_seed_gives_no_verdict_and_an_unmeasured_victim_a_dash(world):
    fill(world)
    world.cells = [cell for cell in world.cells if (cell["seed"], cell["model"]) != (0, "lstm")]
    fill(world, models=["lstm"], attacks={"revadv": ("wmf", 30)})
    tables = world.build()
    assert matrix(tables)[1]["lstm"] == "–"
    world.cells = [cell for cell in world.cells if cell["seed"] == 0]
    assert matrix(world.build())[0]["mf"].endswith("no verdict")


@pytest.mark.usefixtures("undrawn")
def test_the_matrix_is_in_every_file(world):
    fill(world)
    tables = world.build()
    found = json.loads(to_json(tables))["transfer"][0]
    assert (found["surrogate"], found["same_model"], found["norm"]) == ("wmf", True, "users")
    assert "## Transfer\n" in to_markdown(tables)
    assert "the model that the attack fits in place of the victim" in to_page(tables)
