"""Carlini & Wagner proposes the shortest of the iterates that break a user, which the last of them need not be."""

import numpy as np
import pytest

from robench.api import Rng
from robench.conformance.worlds import reference_bench
from robench_plugins.attacks.cw import CarliniWagner

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
    (inner,) = reference_bench(kind).oracles(10)
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
