"""Tests that a third-party attack may maximise its own function of the scores."""

import pytest
import torch
from pydantic import Field

from robench.api import EmbeddingAttack, EmbeddingConfig, PluginError
from robench.testing.worlds import reference_victim


def gap(scores, items):
    """Returns the mean of the five best scores minus the score of the held-out item."""
    own = scores.gather(1, items[:, :1])[:, 0]
    return scores.topk(5, dim=1).values.mean(1) - own


class Stranger(EmbeddingAttack):
    """An attack that takes normalised steps along the gradient of ``gap``."""

    class Config(EmbeddingConfig):
        steps: int = Field(default=10, ge=1)

    gradient = True
    loss = staticmethod(gap)

    def perturb(self, oracle, ball, rng):
        delta = oracle.zero()
        for _ in range(self.config.steps):
            delta = ball.step(delta, oracle.gradient(delta, self.loss).gradient, 0.3)
        assert oracle.evaluate(delta, self.loss).loss.mean() > oracle.evaluate(oracle.zero(), self.loss).loss.mean()
        yield delta


@pytest.mark.parametrize(("surface", "epsilon"), [("embedding", 0.3), ("parameters", 0.3)])
@pytest.mark.parametrize("kind", ["pairwise", "sequence"])
def test_an_own_loss_does_harm_and_the_host_judges(surface, epsilon, kind):
    victim = reference_victim(kind)
    clean, attacked = victim.clean(None), victim.attacked(Stranger.make(surface=surface), epsilon, "")
    assert attacked.arrays["ranks"].mean() > clean.arrays["ranks"].mean()
    assert attacked.achieved["gradients"] >= 10
    assert attacked.achieved["epsilon"] <= epsilon * 1.001


@pytest.mark.parametrize("surface", ["embedding", "parameters"])
@pytest.mark.parametrize(
    ("loss", "said"),
    [(lambda scores, items: scores, "own loss gave"), (lambda scores, items: scores.sum(1) * torch.nan, "not finite")],
)
def test_a_wrong_own_loss_is_one_line(surface, loss, said):
    attack = Stranger.make(surface=surface)
    attack.loss = loss
    with pytest.raises(PluginError, match=said):
        reference_victim("pairwise").attacked(attack, 0.1, "")
