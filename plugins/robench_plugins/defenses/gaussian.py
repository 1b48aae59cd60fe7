"""Noise training, which is the control for adversarial training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from robench_plugins.defenses.training import PerturbationConfig, TrainingDefense

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api import Step


class Gaussian(TrainingDefense):
    """Trains on inputs that move by ε in a random direction.

    This is training with noise (Bishop, Neural Computation 1995). The noise is as long as an adversarial perturbation.
    In L2 the noise is uniform on the sphere of radius ε. In L∞ it is a random corner of the cube (the signs of normal
    noise). The loss is λ · L_clean + (1 − λ) · L_robust. Here L_clean is the model's own loss on the clean inputs, and
    L_robust is its loss on the noisy inputs. A defence that is no better than this control gains nothing from its
    gradient.
    """

    Config = PerturbationConfig
    config: PerturbationConfig

    def total_loss(self, step: Step) -> Tensor:
        """Returns λ · L_clean + (1 − λ) · L_robust, a scalar.

        L_clean is the model's own loss on the clean inputs, and L_robust is its loss on the noisy inputs. Nothing has
        been backpropagated yet.
        """
        c = self.config
        e = step.embed()
        clean = step.losses(e).value.mean()
        ball = step.ball(e, c.epsilon, c.norm)
        delta = step.spent(ball.ascent(step.noise(e, "normal")), ball)
        return c.lambda_ * clean + (1 - c.lambda_) * step.losses(e.plus(delta)).value.mean()
