"""Tests the step rule of APGD on scripted losses.

The rule is in section 3.2 of Croce & Hein 2020. The scripts determine every point of the attack.
"""

import math

import pytest
import torch

from robench.api import Rng
from robench.api.attacks.ball import Ball
from robench.api.attacks.base import Evaluation
from robench_plugins.attacks.embedding.apgd import Apgd

STEPS = 100
MARKS = [22, 41, 57, 70, 80, 87, 93, 99]  # the checkpoints of section 3.2 for 100 steps
SLOPES = [math.cos(2.3 * n) for n in range(STEPS + 1)]  # slopes of both signs, so that clipping hides no step


class _Scripted:
    """An oracle with scripted losses and gradients, and one input entry per user.

    The oracle records the points that it evaluates.
    """

    def __init__(self, losses):
        self.losses, self.points = torch.tensor(losses, dtype=torch.float64), []

    def zero(self):
        return {"x": torch.zeros((len(self.losses), 1), dtype=torch.float64)}

    def gradient(self, delta, loss="ce", rival=None):
        number = len(self.points)
        self.points.append(delta["x"][:, 0].clone())
        nobody = torch.zeros(len(self.losses), dtype=torch.bool)
        return Evaluation(self.losses[:, number], nobody, {"x": torch.full_like(delta["x"], SLOPES[number])})


def evaluated_points(losses):
    """Returns the 101 points that APGD evaluates, and the best point."""
    oracle = _Scripted([losses])
    best, _ = Apgd.make(norm="linf", steps=STEPS).perturb(oracle, Ball("linf", torch.ones(1).double()), Rng(0))
    return torch.stack(oracle.points)[:, 0], float(best["x"][0, 0])


def by_hand(back):
    """Returns the points of APGD (algorithm 1 of the paper) in L∞ with radius 1.

    Args:
        back: maps each checkpoint at which the step is halved to the index of the best evaluation so far.
    """

    def clip(x):
        return max(-1.0, min(1.0, x))

    now = before = 0.0
    slope, stride, points = SLOPES[0], 2.0, [0.0]
    for step in range(1, STEPS + 1):
        ahead = clip(now + math.copysign(stride, slope))
        if step > 1:
            ahead = clip(now + 0.75 * (ahead - now) + 0.25 * (now - before))
        before, now, slope = now, ahead, SLOPES[step]
        points.append(now)
        if step in back:
            stride, now, slope = stride / 2, points[back[step]], SLOPES[back[step]]
    return torch.tensor(points, dtype=torch.float64)


RISING = [float(n) for n in range(STEPS + 1)]


def test_a_user_whose_loss_always_rises_never_halves():
    points, best = evaluated_points(RISING)
    torch.testing.assert_close(points, by_hand({}))
    assert best == pytest.approx(float(points[STEPS]))


# The first checkpoint is at step 22, and three quarters of 22 are 16.5.
@pytest.mark.parametrize(("rises", "back"), [(16, {22: 16}), (17, {})])
def test_condition_1_halves_where_fewer_than_three_quarters_of_the_steps_rose(rises, back):
    losses = [float(n) for n in range(rises + 1)] + [rises - 0.1 * (n + 1) for n in range(22 - rises)]
    losses += [losses[max(back.values(), default=22)] + n + 1 for n in range(STEPS - 22)]
    points, _ = evaluated_points(losses)
    torch.testing.assert_close(points, by_hand(back))
    assert not torch.allclose(points, by_hand({} if back else {22: rises})), "the script does not distinguish them"


def test_condition_2_halves_where_the_best_loss_stood_still_since_a_checkpoint_without_a_halving():
    """The loss drops after evaluation 22 and then rises with every step.

    No loss exceeds the loss of evaluation 22 until after the checkpoint at step 70.
    """
    losses = [float(n) for n in range(23)]
    for start, end in ((22, 41), (41, 57), (57, 70)):
        losses += [-100.0 + start + n for n in range(end - start)]
    losses += [100.0 + n for n in range(STEPS + 1 - len(losses))]
    # APGD halves the step at 41 and 70, but not at 57, because it halved the step at the previous checkpoint.
    back = {41: 22, 70: 22}
    points, best = evaluated_points(losses)
    torch.testing.assert_close(points, by_hand(back))
    for other in ({}, {41: 22}, {41: 22, 57: 22}, {41: 22, 57: 22, 70: 22}):
        assert not torch.allclose(points, by_hand(other)), "the script does not distinguish them"
    assert best == pytest.approx(float(points[STEPS]))


def test_both_conditions_at_every_checkpoint_halve_once():
    """A loss that falls with every step meets both conditions.

    After every halving, the attack returns to δ = 0.
    """
    points, best = evaluated_points([-loss for loss in RISING])
    torch.testing.assert_close(points, by_hand(dict.fromkeys(MARKS, 0)))
    assert best == 0


def test_every_user_has_a_step_of_their_own():
    falling = [-loss for loss in RISING]
    oracle = _Scripted([RISING, falling])
    list(Apgd.make(norm="linf", steps=STEPS).perturb(oracle, Ball("linf", torch.ones(2).double()), Rng(0)))
    together = torch.stack(oracle.points)
    for user, losses in enumerate((RISING, falling)):
        torch.testing.assert_close(together[:, user], evaluated_points(losses)[0])
