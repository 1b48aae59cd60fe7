"""PGD proposes each restart's iterate of the highest loss, which its last one need not be."""

from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api import Rng
from robench.api.attacks.ball import Ball
from robench.api.attacks.base import Evaluation
from robench.testing.worlds import reference_victim
from robench_plugins.attacks.embedding import steps
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.embedding.steps import Highest

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
def test_of_every_row_the_first_iterate_of_its_highest_loss_is_kept(losses, held):
    """Against argmax over all that was seen, however many iterates are held; two inputs, as a model may have."""
    told, users = torch.tensor(losses), len(losses[0])
    walk = [
        {"a": torch.full((users, 2, 3), float(n)), "b": torch.full((users, 1), -float(n))} for n in range(len(told))
    ]
    with mock.patch.object(steps, "HELD", held):
        highest = Highest(walk[0], told[0])
    for delta, loss in zip(walk[1:], told[1:], strict=True):
        highest.then(delta, loss)
    # What is no number is never the highest; where nothing else was seen, the start is kept.
    numbers = told.nan_to_num(-torch.inf, torch.inf, -torch.inf)
    best = torch.tensor([row.index(max(row)) for row in numbers.T.tolist()]).float()
    found = highest.found()
    torch.testing.assert_close(found["a"], best[:, None, None].expand(users, 2, 3))
    torch.testing.assert_close(found["b"], -best[:, None])
    assert (walk[0]["a"] == 0).all(), "an iterate was written in"


class _Scripted:
    """One entry per user; what it answers depends on the number of the question alone. Notes where it was asked."""

    def __init__(self, losses):
        self.losses, self.asked = torch.tensor(losses, dtype=torch.float64), []

    def zero(self):
        return {"x": torch.zeros((len(self.losses), 1), dtype=torch.float64)}

    def normal(self, rng):
        return {"x": torch.randn((len(self.losses), 1), generator=rng.torch(), dtype=torch.float64)}

    uniform = normal

    def gradient(self, delta, loss="ce", rival=None):
        at = len(self.asked)
        self.asked.append(delta["x"][:, 0].clone())
        slope = torch.full_like(delta["x"], -1.0 if at % 4 == 2 else 1.0)
        return Evaluation(self.losses[:, at], torch.zeros(len(self.losses), dtype=torch.bool), {"x": slope})


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_each_restart_gives_its_last_iterate_and_its_best_one(norm):
    # Per user the looks 0 to 3 of restart 0, then those of restart 1; the best of a restart is never carried over.
    losses = [[0.0, 5.0, 1.0, 2.0, 4.0, 1.0, 0.0, 0.0], [0.0, 1.0, 2.0, 3.0, -9.0, -7.0, -3.0, -8.0]]
    oracle = _Scripted(losses)
    found = list(Pgd.make(norm=norm, steps=4, restarts=2).perturb(oracle, Ball(norm, torch.ones(2).double()), Rng(0)))
    asked = torch.stack(oracle.asked)
    assert len(found) == 5, "the one-step point, and two of each restart"
    user = torch.arange(2)
    torch.testing.assert_close(found[2]["x"][:, 0], asked[torch.tensor([1, 3]), user])
    torch.testing.assert_close(found[4]["x"][:, 0], asked[torch.tensor([4, 6]), user])
    # Up, up, down, up: the last point is not the one that was looked at last.
    torch.testing.assert_close(found[1]["x"][:, 0], torch.ones(2).double())


def test_on_a_victim_the_best_iterate_is_what_some_users_are_left_with():
    """With two long steps the last point often overshoots; without the best one these users would have been spared."""
    bench, attack = reference_victim("sequence"), Pgd.make(norm="linf", steps=3)

    class LastOnly(Pgd):
        def perturb(self, oracle, ball, rng):
            one_step, last, _ = super().perturb(oracle, ball, rng)
            yield from (one_step, last)

    whole = bench.attacked(attack, 1.0, "").arrays
    less = bench.attacked(LastOnly.make(norm="linf", steps=3), 1.0, "").arrays
    assert (whole["ranks"] >= less["ranks"]).all()
    assert (whole["ranks"] > less["ranks"]).any()
