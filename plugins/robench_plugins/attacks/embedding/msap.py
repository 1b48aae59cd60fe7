"""MSAP: many steps on the embedding tables, clipped entry by entry as in the authors' code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from robench.api import Ball, Delta, EmbeddingAttack, EmbeddingConfig, LossName, Oracle, Rng, Scale
from robench.api.attacks.ball import added
from robench_plugins.attacks.embedding.steps import scaled_cube


class Msap(EmbeddingAttack):
    """Multi-step adversarial perturbations (Anelli et al., FLAIRS 2021), with the step rule of the authors' code.

    δ ← clip(δ + ε/4 · g / ‖g‖₂, −ε, ε): a step is an L2 step, row by row, but the clip is per entry, so the ball is
    that of L∞ and a row may spend up to ε√d in L2, where the FGSM that it is compared with spends ε. The code's L2
    clip is commented out. The record has both norms; ``pgd`` with norm l2 is the attack that keeps to the L2 ball.

    ``start: zero`` is the paper's BIM, ``uniform`` its PGD (there ±0.05 whatever ε is; here ±ε/10, the same at the
    paper's ε = 0.5). The candidate is the last iterate. As published it looks at one draw of negatives, here at a
    fresh one per step.
    """

    class Config(EmbeddingConfig):
        """Settings; the defaults are the paper's strongest (25 steps)."""

        norm: Literal["linf"] = "linf"
        scale: Scale = "absolute"
        surface: Literal["embedding", "parameters"] = "parameters"
        positives: Literal["held-out", "known"] = "known"
        loss: LossName = "bpr"
        steps: int = Field(default=25, ge=1)
        share: float = Field(default=0.25, gt=0, description="L2 length of a step, in ε")
        start: Literal["zero", "uniform"] = "zero"

    config: Config
    gradient: ClassVar[bool] = True

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """The last iterate."""
        stride = Ball("l2", ball.radius * self.config.share)
        delta: Delta = oracle.zero()
        if self.config.start == "uniform":
            delta = scaled_cube(oracle, Ball("linf", ball.radius * 0.1), rng.child("start"))
        for _ in range(self.config.steps):
            gradient = oracle.gradient(delta, self.config.loss).gradient
            assert gradient is not None  # gradient() always gives one
            delta = ball.project(added(delta, stride.ascent(gradient)))
        yield delta
