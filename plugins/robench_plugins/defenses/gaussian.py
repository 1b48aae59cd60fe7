"""Noise training: the control of the adversarial training family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench_plugins.defenses.family import PerturbedConfig, TrainingDefense

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api import Step


class Gaussian(TrainingDefense):
    """L_robust is the model's own loss on inputs moved by ε in a direction of normal noise; no gradient chooses it.

    Training with noise (Bishop, Neural Computation 1995) with the length of an adversarial perturbation: on the sphere
    of radius ε for l2, a uniformly drawn corner of the box for linf (the signs of the noise). A member of the family
    that is not better than this has gained nothing from its gradient.
    """

    Config = PerturbedConfig
    config: PerturbedConfig

    def defended(self, step: Step) -> Tensor:
        """Both parts, in one graph."""
        c = self.config
        e = step.embed()
        clean = step.losses(e).value.mean()
        ball = step.ball(e, c.epsilon, c.norm)
        delta = step.spent(ball.ascent(step.noise(e, "normal")), ball)
        return c.lambda_ * clean + (1 - c.lambda_) * step.losses(e.plus(delta)).value.mean()
