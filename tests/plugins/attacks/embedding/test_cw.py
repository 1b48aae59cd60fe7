"""Carlini & Wagner proposes the shortest of the iterates that break a user, which the last of them need not be."""

import numpy as np
import pytest
import torch

from robench.api import Rng
from robench.api.attacks.base import Evaluation
from robench.testing.worlds import reference_victim
from robench_plugins.attacks.embedding.cw import CarliniWagner

STEPS, SEARCH = 25, 4


class _Noting:
    """An oracle that notes every gradient's place and whom it breaks there."""

    def __init__(self, oracle):
        self._oracle, self.asked = oracle, []

    def __getattr__(self, name):
        return getattr(self._oracle, name)

    def gradient(self, delta, loss="ce", rival=None):
        found = self._oracle.gradient(delta, loss, rival)
        (part,) = delta.values()
        self.asked.append((part.clone().double().numpy(), found.broken.numpy()))
        return found


@pytest.mark.parametrize("kind", ["pairwise", "sequence", "ragged"])
def test_of_each_outer_step_every_user_has_the_shortest_iterate_that_breaks(kind):
    (inner,) = reference_victim(kind).oracles(10)
    oracle = _Noting(inner)
    proposed = list(CarliniWagner.make(steps=STEPS, search=SEARCH, refine=0).minimise(oracle, Rng(0)))
    assert len(oracle.asked) == 1 + SEARCH * STEPS, "a first look, and a gradient per step"
    later = 0
    for number, delta in enumerate(proposed):
        (part,), walk = delta.values(), oracle.asked[1 + number * STEPS : 1 + (number + 1) * STEPS]
        for user, found in enumerate(part.double().numpy()):
            breaking = [point[user] for point, broken in walk if broken[user]]
            sizes = [np.linalg.norm(point) for point in breaking]
            shortest = breaking[int(np.argmin(sizes))] if breaking else np.zeros_like(found)
            assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(shortest), rel=1e-6)
            later += bool(breaking) and sizes[-1] > min(sizes) * 1.01
    assert later, "the last one that breaks is everybody's shortest"


class _Linear:
    """Every length costs the same margin; notes where a gradient was asked for."""

    def __init__(self):
        self.asked = []

    def zero(self):
        return {"x": torch.zeros((2, 4))}

    def normal(self, rng):
        return {"x": torch.randn((2, 4), generator=rng.torch())}

    def lengths(self):
        return torch.full((2,), 4.0)

    def gradient(self, delta, loss="ce", rival=None):
        self.asked.append(delta["x"].clone())
        return Evaluation(-torch.ones(2), torch.zeros(2, dtype=torch.bool), {"x": torch.ones((2, 4))})


def test_every_further_restart_starts_elsewhere():
    oracle = _Linear()
    list(CarliniWagner.make(k=10, restarts=3, steps=1, search=1, refine=0).minimise(oracle, Rng(0)))
    first, second, third = oracle.asked[1::2]  # each after a look at 0
    assert (first == 0).all()
    assert (second != 0).all()
    assert (third != second).all()


class _Told(CarliniWagner):
    """In place of Adam: users break from a c of their own on; notes every c."""

    needed = torch.tensor([20.0, 0.3])

    def _descend(self, oracle, begin, weight, guess, rival):
        self.seen.append(weight.tolist())
        return oracle.zero(), torch.where(weight >= self.needed, 1.0, torch.inf)


def test_c_grows_tenfold_until_a_user_breaks_and_is_then_halved_from_both_sides():
    attack = _Told.make(search=7, refine=0)
    attack.seen = []
    list(attack.minimise(_Linear(), Rng(0)))
    # The slope is 2 long, so the guess is 1/2, and the first c twice the guess over the slope.
    grown = [0.5, 5, 50, 27.5, 16.25, (16.25 + 27.5) / 2, (16.25 + 21.875) / 2]
    halved = [0.5, 0.25, 0.375, 0.3125, 0.28125, (0.28125 + 0.3125) / 2, (0.296875 + 0.3125) / 2]
    assert attack.seen == [list(both) for both in zip(grown, halved, strict=True)]
