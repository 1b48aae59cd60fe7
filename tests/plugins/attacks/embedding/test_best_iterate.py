"""Tests that PGD proposes the iterate with the highest loss in each restart.

This iterate is not always the last one.
"""

from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api import Rng
from robench.api.attacks.ball import Ball
from robench.api.attacks.base import Evaluation
from robench.testing.worlds import reference_victim
from robench_plugins.attacks.embedding import best_iterate
from robench_plugins.attacks.embedding.best_iterate import BestIterate
from robench_plugins.attacks.embedding.pgd import Pgd

scripts = st.integers(1, 4).flatmap(
    lambda users: st.lists(
        st.lists(
            st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0, float("nan"), float("inf"), -float("inf")]),
            min_size=users,
            max_size=users,
        ),
        min_size=1,
        max_size=12,
    )
)


@settings(deadline=None)
@given(scripts, st.integers(0, 2000))
def test_every_row_keeps_the_first_iterate_of_its_highest_loss(script, buffer):
    """The result equals an argmax over all iterates, for any size of the buffer.

    Each iterate has two inputs.
    """
    losses, users = torch.tensor(script), len(script[0])
    path = [
        {"a": torch.full((users, 2, 3), float(n)), "b": torch.full((users, 1), -float(n))} for n in range(len(losses))
    ]
    with mock.patch.object(best_iterate, "BUFFER", buffer):
        iterates = BestIterate(path[0], losses[0])
    for delta, loss in zip(path[1:], losses[1:], strict=True):
        iterates.add(delta, loss)
    # NaN never counts as the highest loss. A row with only NaN keeps its start.
    numbers = losses.nan_to_num(-torch.inf, torch.inf, -torch.inf)
    expected = torch.tensor([row.index(max(row)) for row in numbers.T.tolist()]).float()
    best = iterates.best()
    torch.testing.assert_close(best["a"], expected[:, None, None].expand(users, 2, 3))
    torch.testing.assert_close(best["b"], -expected[:, None])
    assert (path[0]["a"] == 0).all(), "an iterate was overwritten"


class _Scripted:
    """An oracle with scripted losses and gradients, and one input entry per user.

    The oracle records the points that it evaluates.
    """

    def __init__(self, losses):
        self.losses, self.points = torch.tensor(losses, dtype=torch.float64), []

    def zero(self):
        return {"x": torch.zeros((len(self.losses), 1), dtype=torch.float64)}

    def normal(self, rng):
        return {"x": torch.randn((len(self.losses), 1), generator=rng.torch(), dtype=torch.float64)}

    uniform = normal

    def gradient(self, delta, loss="ce", rival=None):
        at = len(self.points)
        self.points.append(delta["x"][:, 0].clone())
        slope = torch.full_like(delta["x"], -1.0 if at % 4 == 2 else 1.0)
        return Evaluation(self.losses[:, at], torch.zeros(len(self.losses), dtype=torch.bool), {"x": slope})


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_each_restart_gives_its_last_iterate_and_its_best_one(norm):
    # Evaluations 0 to 3 belong to restart 0, the others to restart 1. Each restart has a best iterate of its own.
    losses = [[0.0, 5.0, 1.0, 2.0, 4.0, 1.0, 0.0, 0.0], [0.0, 1.0, 2.0, 3.0, -9.0, -7.0, -3.0, -8.0]]
    oracle = _Scripted(losses)
    candidates = list(
        Pgd.make(norm=norm, steps=4, restarts=2).perturb(oracle, Ball(norm, torch.ones(2).double()), Rng(0))
    )
    points = torch.stack(oracle.points)
    assert len(candidates) == 5, "the one-step point, and two of each restart"
    user = torch.arange(2)
    torch.testing.assert_close(candidates[2]["x"][:, 0], points[torch.tensor([1, 3]), user])
    torch.testing.assert_close(candidates[4]["x"][:, 0], points[torch.tensor([4, 6]), user])
    # The steps go up, up, down and up. The last iterate of restart 0 was never evaluated.
    torch.testing.assert_close(candidates[1]["x"][:, 0], torch.ones(2).double())


def test_on_a_victim_the_best_iterate_is_worse_for_some_users():
    """Long steps often overshoot the maximum of the loss.

    Without the best iterate, the attack would therefore spare some users.
    """
    victim, attack = reference_victim("sequence"), Pgd.make(norm="linf", steps=3)

    class LastOnly(Pgd):
        def perturb(self, oracle, ball, rng):
            one_step, last, _ = super().perturb(oracle, ball, rng)
            yield from (one_step, last)

    whole = victim.attacked(attack, 1.0, "").arrays
    less = victim.attacked(LastOnly.make(norm="linf", steps=3), 1.0, "").arrays
    assert (whole["ranks"] >= less["ranks"]).all()
    assert (whole["ranks"] > less["ranks"]).any()
