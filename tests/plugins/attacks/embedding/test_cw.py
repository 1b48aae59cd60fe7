"""Tests the proposals, the restarts and the binary search of Carlini & Wagner.

The attack proposes the shortest iterate that breaks a user. This iterate is not always the last one.
"""

import numpy as np
import pytest
import torch

from robench.api import Rng
from robench.api.attacks.base import Evaluation
from robench.testing.worlds import reference_victim
from robench_plugins.attacks.embedding.cw import CarliniWagner

STEPS, SEARCH = 25, 4


class _Recorder:
    """An oracle that records the points at which it computes gradients.

    The oracle also records which users are broken at each point.
    """

    def __init__(self, oracle):
        self._oracle, self.points = oracle, []

    def __getattr__(self, name):
        return getattr(self._oracle, name)

    def gradient(self, delta, loss="ce", rival=None):
        evaluation = self._oracle.gradient(delta, loss, rival)
        (part,) = delta.values()
        self.points.append((part.clone().double().numpy(), evaluation.broken.numpy()))
        return evaluation


@pytest.mark.parametrize("kind", ["pairwise", "sequence", "ragged"])
def test_each_value_of_c_gives_every_user_the_shortest_breaking_iterate(kind):
    (inner,) = reference_victim(kind).surface("embedding").oracles(10)
    oracle = _Recorder(inner)
    candidates = list(CarliniWagner.make(steps=STEPS, search=SEARCH, refine=0).minimise(oracle, Rng(0)))
    assert len(oracle.points) == 1 + SEARCH * STEPS, "a gradient at the origin, and one per step"
    later = 0
    for number, delta in enumerate(candidates):
        (part,), path = delta.values(), oracle.points[1 + number * STEPS : 1 + (number + 1) * STEPS]
        for user, candidate in enumerate(part.double().numpy()):
            breaking = [point[user] for point, broken in path if broken[user]]
            sizes = [np.linalg.norm(point) for point in breaking]
            shortest = breaking[int(np.argmin(sizes))] if breaking else np.zeros_like(candidate)
            assert np.linalg.norm(candidate) == pytest.approx(np.linalg.norm(shortest), rel=1e-6)
            later += bool(breaking) and sizes[-1] > min(sizes) * 1.01
    assert later, "the last breaking iterate is the shortest one for every user"


class _Linear:
    """An oracle with a linear margin, under which no user ever breaks.

    The oracle records the points at which it computes gradients.
    """

    def __init__(self):
        self.points = []

    def zero(self):
        return {"x": torch.zeros((2, 4))}

    def normal(self, rng):
        return {"x": torch.randn((2, 4), generator=rng.torch())}

    def lengths(self):
        return torch.full((2,), 4.0)

    def gradient(self, delta, loss="ce", rival=None):
        self.points.append(delta["x"].clone())
        return Evaluation(-torch.ones(2), torch.zeros(2, dtype=torch.bool), {"x": torch.ones((2, 4))})


def test_every_further_restart_starts_elsewhere():
    oracle = _Linear()
    list(CarliniWagner.make(k=10, restarts=3, steps=1, search=1, refine=0).minimise(oracle, Rng(0)))
    first, second, third = oracle.points[1::2]  # before each start, the attack computes a gradient at 0
    assert (first == 0).all()
    assert (second != 0).all()
    assert (third != second).all()


class _Thresholds(CarliniWagner):
    """An attack that breaks each user at a given c and at every larger c.

    Here c is the weight of the margin in the objective of C&W. The attack skips the descent with Adam, and records
    every c.
    """

    threshold = torch.tensor([20.0, 0.3])

    def _descend(self, oracle, start, c, distance, rival):
        self.weights.append(c.tolist())
        return oracle.zero(), torch.where(c >= self.threshold, 1.0, torch.inf)


def test_c_grows_tenfold_until_a_user_breaks_and_is_then_halved_from_both_sides():
    attack = _Thresholds.make(search=7, refine=0)
    attack.weights = []
    list(attack.minimise(_Linear(), Rng(0)))
    # The slope has length 2, so the distance is 1/2. The first c is twice the distance divided by the slope.
    grown = [0.5, 5, 50, 27.5, 16.25, (16.25 + 27.5) / 2, (16.25 + 21.875) / 2]
    halved = [0.5, 0.25, 0.375, 0.3125, 0.28125, (0.28125 + 0.3125) / 2, (0.296875 + 0.3125) / 2]
    assert attack.weights == [list(both) for both in zip(grown, halved, strict=True)]
