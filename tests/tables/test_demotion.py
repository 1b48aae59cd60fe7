"""Tests that tables of demoted targets reverse the direction of their metrics."""

import numpy as np
import pytest
from tests.fakes import FAKES, USERS, World

DEMOTE = {**FAKES, "goal": "demote"}
PROMOTE = {**FAKES}


def target_ranks(users):
    """Returns the ranks of 20 targets.

    The first ``users`` users have all targets in the top 10, and the other users have none.
    """
    return {"arrays": {"target_ranks": [[10] * users + [11] * (USERS - users)] * 20}}


@pytest.mark.parametrize(("threat", "worst", "first"), [(DEMOTE, 10, "ease"), (PROMOTE, 40, "mf")])
def test_the_worst_attack_and_the_ranks_follow_the_goal(tmp_path, threat, worst, first):
    world = World(tmp_path, [{**threat, "metric": "t-hr@10", "epsilon": 0.05}])
    world.targets["count"] = 20
    for seed in (0, 1):
        for model, more in (("mf", 0), ("ease", 30)):
            world.cell(np.full(USERS, 9), model=model, seed=seed, **target_ranks(50))
            for attack, users in (("bandwagon", 10), ("segment", 40)):
                made = {"model": model, "seed": seed, "attack": attack, "epsilon": 0.05, "threat": threat}
                world.cell(np.full(USERS, 9), **made, **target_ranks(users + more))
    (table,) = world.build().leaderboard
    by_model = {row.key.model: row for row in table.rows}
    assert by_model["mf"].worst == pytest.approx(worst / USERS)
    assert by_model[first].rank == 1
    assert by_model["mf"].rank != by_model["ease"].rank
