"""Flags on what was spent: more than ε in the record, and a loss that rises where no rank does, under an ensemble too."""

import numpy as np
import pytest
from tests.fakes import EMBEDDING, USERS, World, ranks, row


def built(folder, *, left=60, attack="pgd", **more):
    world = World(folder, [EMBEDDING])
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        world.cell(ranks(left, 99), seed=seed, attack=attack, epsilon=0.05, **more)
    return row(world.build())["flags"]


@pytest.mark.parametrize(("spent", "flags"), [(0.05, ""), (0.05 * (1 + 1e-5), ""), (0.5, "pgd measured at 10x ε")])
def test_what_was_measured_at_more_than_epsilon_is_told(tmp_path, spent, flags):
    assert built(tmp_path, achieved={"epsilon": spent}) == flags


@pytest.mark.parametrize("kind", ["gradient", "ensemble"])
@pytest.mark.parametrize("left", [150, 60])
def test_a_loss_that_rises_and_leaves_the_ranks_is_told_of_ensembles_too(tmp_path, kind, left):
    arrays = {"loss": np.full(USERS, 9.0), "clean_loss": np.ones(USERS)}
    flags = built(tmp_path, left=left, attack="mine", kind=kind, arrays=arrays)
    assert ("loss up, ranks unchanged" in flags) == (left == 150)
