"""Tests that the restarts of PGD begin at different points.

If the gradient at the first start is 0, only the other restarts can move.
"""

import numpy as np
import pytest
import torch

from robench.api import Rng
from robench.api.attacks.ball import Ball, sizes
from robench.api.attacks.base import Evaluation
from robench.testing.worlds import reference_victim
from robench_plugins.attacks.embedding.pgd import Pgd

STEPS, USERS, RADIUS = 4, 3, 0.5


class _Valley:
    """An oracle with the loss ‖δ‖².

    The gradient at δ = 0 is 0. The oracle records the points that it evaluates.
    """

    def __init__(self):
        self.points = []

    def zero(self):
        return {"x": torch.zeros((USERS, 5))}

    def normal(self, rng):
        return {"x": torch.randn((USERS, 5), generator=rng.torch())}

    def uniform(self, rng):
        return {"x": 2 * torch.rand((USERS, 5), generator=rng.torch()) - 1}

    def gradient(self, delta, loss="ce", rival=None):
        self.points.append(delta["x"].clone())
        assert rival is None
        return Evaluation(delta["x"].square().sum(1), torch.zeros(USERS, dtype=torch.bool), {"x": 2 * delta["x"]})


def starts_and_ends(norm, restarts, seed=0):
    """Returns the first and the last point of each restart of PGD on ``_Valley``.

    Both results are float [restarts, USERS, 5].
    """
    oracle, ball = _Valley(), Ball(norm, torch.full((USERS,), RADIUS))
    attack = Pgd.make(norm=norm, steps=STEPS, restarts=restarts)
    ends = [candidate["x"].clone() for candidate in attack.perturb(oracle, ball, Rng(seed))]
    return torch.stack(oracle.points[::STEPS]), torch.stack(
        ends[1::2]
    )  # the first candidate is the one-step point; every restart adds two


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_first_restart_starts_from_zero_and_every_other_one_elsewhere_in_the_ball(norm):
    starts, _ = starts_and_ends(norm, 4)
    assert len(starts) == 4
    assert (starts[0] == 0).all()
    for number, start in enumerate(starts[1:], 1):
        assert (start != 0).all()
        assert float(sizes({"x": start}, norm).max()) <= RADIUS * (1 + 1e-6)
        for other in starts[1:number]:
            assert (start != other).all(), "two restarts start from the same point"
    assert float(sizes({"x": starts[1:].flatten(0, 1)}, norm).max()) > RADIUS / 2, "the starts are close to 0"


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_restarts_reach_what_a_start_at_zero_cannot(norm):
    _, ends = starts_and_ends(norm, 3)
    assert (ends[0] == 0).all()
    for end in ends[1:]:
        torch.testing.assert_close(sizes({"x": end}, norm), torch.full((USERS,), RADIUS))


def test_the_starts_depend_on_the_seed_alone():
    (one, _), (again, _), (other, _) = (
        starts_and_ends("l2", 2),
        starts_and_ends("l2", 2),
        starts_and_ends("l2", 2, seed=1),
    )
    assert torch.equal(one, again)
    assert (one[1] != other[1]).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_on_a_victim_restarts_find_other_points_and_never_a_lower_loss(norm):
    victim = reference_victim("sequence")
    once, often = (victim.attacked(Pgd.make(norm=norm, steps=5, restarts=n), 0.3, "restarts").arrays for n in (1, 4))
    assert (often["ranks"] >= once["ranks"]).all()
    changed = (often["ranks"] > once["ranks"]) | (np.abs(often["loss"] - once["loss"]) > 1e-4)
    assert changed.any(), "the restarts change nothing"
