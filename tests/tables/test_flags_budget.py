"""Tests the flags for records of attacks that exceeded ε."""

import numpy as np
import pytest
from tests.fakes import EMBEDDING, L2, PARAMETERS, TABLES, USERS, World, ranks, row


def built(folder, entry, threat, **more):
    world = World(folder, [entry])
    losses = {"loss": np.ones(USERS), "clean_loss": np.ones(USERS)}
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        world.cell(ranks(60, 99), seed=seed, attack="pgd", epsilon=0.05, threat=threat, arrays=losses, **more)
    return row(world.build()).flags


@pytest.mark.parametrize(("entry", "threat"), [(EMBEDDING, L2), (PARAMETERS, TABLES)])
@pytest.mark.parametrize(("spent", "flags"), [(0.05, ""), (0.05 * (1 + 1e-5), ""), (0.5, "pgd measured at 10x ε")])
def test_what_was_measured_at_more_than_epsilon_is_told(tmp_path, entry, threat, spent, flags):
    assert built(tmp_path, entry, threat, achieved={"epsilon": spent}) == flags
