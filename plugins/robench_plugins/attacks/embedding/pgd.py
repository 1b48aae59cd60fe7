"""PGD: many small steps along the gradient, each projected back into the ball."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from robench.api import Ball, Delta, EmbeddingAttack, EmbeddingConfig, LossName, Oracle, Rng
from robench_plugins.attacks.embedding.best_iterate import BestIterate
from robench_plugins.attacks.embedding.restarts import random_start, restart_rivals

STEP = 2.5  # the length of a step, in units of r / steps


class Pgd(EmbeddingAttack):
    """Climbs the loss in many small steps, each projected back into the ball.

    This is the projected gradient ascent of Madry et al. (ICLR 2018, section 2.1): δ ← Π(δ + α · ascent(∇ loss)). Here
    ascent gives the direction of steepest ascent, and Π projects into the ball. Both use the norm of the budget. The
    step is α = 2.5 r / steps, where r is the radius.

    Restart 0 starts from δ = 0, and further restarts start from a random point of the ball. An untargeted attack on
    ``embedding`` with the loss ``margin`` and k = 1 starts all restarts from δ = 0. Each further restart then raises
    one of the best rivals above the held-out item (MultiTargeted, Gowal et al. 2019, algorithm 1). The FGSM point is a
    candidate too, so PGD is never weaker than FGSM with the same loss and ε.
    """

    class Config(EmbeddingConfig):
        """Settings of PGD."""

        norm: Literal["l2", "linf"] = "linf"
        loss: LossName = Field(default="ce", description="Loss that the steps increase")
        steps: int = Field(default=20, ge=1, description="Gradient steps per restart")
        restarts: int = Field(default=1, ge=1, description="Starting points, the first of which is δ = 0")

    config: Config
    gradient: ClassVar[bool] = True

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """Yields the FGSM point, then the last and the best iterate of each restart.

        Every candidate is a δ of shape [B, ...] per input.
        """
        c = self.config
        rivals = restart_rivals(oracle, c) if c.loss == "margin" else []
        for restart in range(c.restarts):
            rival = rivals[restart - 1] if 0 < restart <= len(rivals) else None
            from_zero = restart == 0 or rival is not None
            delta = oracle.zero() if from_zero else random_start(oracle, ball, rng.child("start", restart))
            for step in range(c.steps):
                evaluation = oracle.gradient(delta, c.loss, rival)
                assert evaluation.gradient is not None  # gradient() always returns a gradient
                if restart == 0 and step == 0:
                    yield ball.ascent(evaluation.gradient)
                if step == 0:
                    iterates = BestIterate(delta, evaluation.loss)
                else:
                    iterates.add(delta, evaluation.loss)
                delta = ball.step(delta, evaluation.gradient, STEP / c.steps)
            yield delta
            yield iterates.best()
