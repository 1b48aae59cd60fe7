"""Tests the flags of failed checks, and which of them cost a row its rank."""

import json
import re

import pytest
from tests.fakes import CHECKED, EMBEDDING, L2, METRICS, PARAMETERS, TABLES, World, ranks, row

from robench.report.markdown import to_markdown
from robench.store.seal import seal
from robench.tables.build import build_tables
from robench.tables.checks import CHECKS

FAILING = {
    "scores bypass the inputs": {"foreign_ball": 0.01},
    "hidden context": {"hidden_context": 1.0},
    "other inputs than the wrapped model": {"wrapped_inputs": 0.01},
    "random without a declaration": {"noise_genuine": 0.01, "noise_ball": 0.01},
    "random under attack": {"noise_ball": 0.01},
    "scores depend on gradients": {"grad_mode": 0.01},
    "wrong gradients": {"slope_random": 0.4},
    "wrong gradients of tables": {"table_slope_random": 0.4},
    "scores ignore the inputs": {"movement": 0.0},
    "saturated scores": {"saturated": 0.6},
}
DEFENDED = {"defense": "at", "weight": 0.5}


def board(folder, first, second=CHECKED, *, twin=CHECKED, surface=L2, ranking=EMBEDDING):
    """Returns the defended row of a table.

    The row has two fits, with the checks ``first`` and ``second``. The undefended fits have the checks ``twin``.
    """
    world = World(folder, [ranking])
    for seed, checks in enumerate((first, second)):
        for own, more in ((twin, {}), (checks, DEFENDED)):
            world.cell(ranks(150, 99), seed=seed, **more)
            world.cell(ranks(60, 99), seed=seed, attack="mine", epsilon=0.05, threat=surface, checks=own, **more)
    return row(world.build(), defense="at")


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize(("surface", "ranking"), [(L2, EMBEDDING), (TABLES, PARAMETERS)], ids=["inputs", "tables"])
def test_a_failed_check_is_flagged_and_takes_the_rank(tmp_path, name, surface, ranking):
    made = board(tmp_path / "w", CHECKED, CHECKED | FAILING[name], surface=surface, ranking=ranking)
    assert name in made.flags.split("; ")
    assert made.rank is None
    (note,) = (note for note in made.notes if note.flag == name)
    assert set(FAILING[name]) & set(note.numbers)


def test_every_check_can_fail():
    assert [check.flag for check in CHECKS] == list(FAILING)


def test_a_row_that_passes_has_its_rank_and_no_flag(tmp_path):
    made = board(tmp_path / "w", CHECKED)
    assert (made.flags, made.rank is None) == ("", False)


def test_declared_noise_may_be_as_large_in_the_ball_as_at_the_genuine_point(tmp_path):
    noise = {"declared_stochastic": 1.0, "noise_genuine": 0.01}
    for ball, passes in ((0.09, True), (0.11, False)):
        made = board(tmp_path / f"w{ball}", CHECKED | noise | {"noise_ball": ball})
        assert (made.rank is not None) == passes


@pytest.mark.parametrize(("share", "flags"), [(0.06, ""), (0.04, "scores hardly move")])
def test_scores_that_move_much_less_than_the_twin_s_take_the_rank(tmp_path, share, flags):
    own = CHECKED | {"movement": share * CHECKED["movement"]}
    made = board(tmp_path / "w", own, own)
    assert (made.flags, made.rank is None) == (flags, bool(flags))


@pytest.mark.parametrize(("ratio", "flags"), [(1.9, ""), (2.1, "ε is of another size"), (0.4, "ε is of another size")])
def test_a_radius_of_another_size_is_flagged_and_keeps_the_rank(tmp_path, ratio, flags):
    own = CHECKED | {"radius": ratio * CHECKED["radius"]}
    made = board(tmp_path / "w", own, own)
    assert (made.flags, made.rank is None) == (flags, False)


def test_a_record_without_checks_has_no_rank_unless_it_is_older_than_the_checks(tmp_path):
    made = board(tmp_path / "w", {})
    assert made.flags == "not checked"
    assert made.rank is None
    for path in (tmp_path / "w" / "cells").glob("*.json"):
        record = json.loads(path.read_text()) | {"format_version": 1}
        record.pop("sha256")
        record.pop("checks", None)
        path.write_text(json.dumps(seal(record)))
    old = row(build_tables(tmp_path / "w", METRICS), defense="at")
    assert (old.flags, old.rank is None) == ("", False)


def test_the_radius_stands_beside_that_of_the_twin(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    for seed, ratio in enumerate((2.0, 3.0, 9.0)):
        for radius, more in ((3.0, {}), (3.0 * ratio, DEFENDED)):
            world.cell(ranks(150, 99), seed=seed, **more)
            checks = CHECKED | {"radius": radius}
            world.cell(ranks(60, 99), seed=seed, attack="mine", epsilon=0.05, checks=checks, **more)
    plain, defended = world.build().inputs
    assert (plain.radius, plain.twin_radius, plain.ratio, plain.seeds) == (3.0, None, None, 3)
    assert (defended.radius, defended.twin_radius, defended.ratio) == (pytest.approx(14.0), 3.0, 3.0)
    without_spaces = re.sub(" +", " ", to_markdown(world.build()))
    assert "| mf | at λ=0.5 | .5000 | 10.0 | 14.0000 | 3.0000 | 3.00 |" in without_spaces
