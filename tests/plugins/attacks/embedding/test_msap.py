import pytest
import torch

from robench.api import Rng
from robench.api.attacks.ball import Ball
from robench.api.attacks.base import Evaluation
from robench.testing import EmbeddingAttackTests
from robench.testing.worlds import reference_victim
from robench_plugins.attacks.embedding.msap import Msap
from robench_plugins.attacks.embedding.pgd import Pgd


class TestMsap(EmbeddingAttackTests):
    attack = Msap
    settings = {"surface": "embedding", "scale": "relative", "positives": "held-out", "steps": 60}
    norms = ("linf",)


class _Slope:
    """An oracle with a linear loss, so that the gradient is the same at every point."""

    def __init__(self, gradient):
        self.slope = torch.tensor(gradient)

    def zero(self):
        return {"x": torch.zeros_like(self.slope)}

    def uniform(self, rng):
        return {"x": torch.ones_like(self.slope)}

    def gradient(self, delta, loss="bpr", rival=None):
        never = torch.zeros(len(self.slope), dtype=torch.bool)
        return Evaluation(delta["x"].sum(1), never, {"x": self.slope})


def last_iterate(slope, epsilon=0.5, **settings):
    """Returns the only candidate of MSAP, with the gradient ``slope`` at every point."""
    ball = Ball("linf", torch.full((len(slope),), epsilon))
    (candidate,) = Msap.make(**settings).perturb(_Slope(slope), ball, Rng(0))
    return candidate["x"]


def test_a_step_is_a_quarter_of_epsilon_in_l2_and_the_clip_is_per_entry():
    assert torch.allclose(last_iterate([[3.0, 4.0]], steps=1), torch.tensor([[0.075, 0.1]]))
    # A step adds .075 and .1. The sixth step clips the second entry, and the L2 norm exceeds ε.
    assert torch.allclose(last_iterate([[3.0, 4.0]], steps=6), torch.tensor([[0.45, 0.5]]))
    assert torch.allclose(last_iterate([[3.0, 4.0]], steps=25), torch.tensor([[0.5, 0.5]]))
    assert torch.equal(last_iterate([[0.0, 0.0]], steps=25), torch.zeros(1, 2))


def test_the_random_start_is_a_tenth_of_epsilon_wide():
    assert torch.allclose(last_iterate([[0.0, 0.0]], start="uniform"), torch.full((1, 2), 0.05))


@pytest.mark.parametrize("epsilon", [0.05, 0.2])
def test_on_tables_it_leaves_the_l2_ball_of_the_same_epsilon(epsilon):
    clipped = reference_victim("pairwise").attacked(Msap.make(), epsilon, "msap")
    pgd = Pgd.make(surface="parameters", norm="l2", scale="absolute", loss="bpr", positives="known", steps=25)
    projected = reference_victim("pairwise").attacked(pgd, epsilon, "pgd")
    assert clipped.achieved["linf_max"] <= epsilon * (1 + 1e-5)
    assert projected.achieved["l2_max"] <= epsilon * (1 + 1e-5)
    assert clipped.achieved["l2_max"] > 1.5 * epsilon
    assert clipped.diagnostics["loss_attacked"] > projected.diagnostics["loss_attacked"]
