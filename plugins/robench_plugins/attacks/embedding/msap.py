"""MSAP: many steps on the embedding tables, clipped entry by entry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from robench.api import Ball, Delta, EmbeddingAttack, EmbeddingConfig, LossName, Oracle, Rng, Scale
from robench.api.attacks.ball import added
from robench_plugins.attacks.embedding.restarts import uniform_start


class Msap(EmbeddingAttack):
    """Climbs the loss by L2 steps on the embedding tables and clips entries to ±ε.

    The attack computes the multi-step adversarial perturbations of Anelli et al. (FLAIRS 2021), with the step rule of
    the authors' code: δ ← clip(δ + ε/4 · g / ‖g‖₂, −ε, ε). Here g is the gradient of the loss, and ‖g‖₂ is computed row
    by row. The clip acts on each entry, so the ball is an L∞ ball. A row of d entries may spend up to ε√d in the L2
    norm. The FGSM that the paper compares with MSAP spends only ε. (The authors' code has an L2 clip, but it is
    commented out.) The record holds both norms. To stay within the L2 ball, use ``pgd`` with ``norm: l2``. With
    ``surface: embedding`` and ``positives: held-out``, the attack perturbs the embedded inputs instead of the tables.

    ``start: zero`` gives the paper's BIM (basic iterative method), and ``start: uniform`` gives the paper's PGD. The
    paper starts within ±0.05 for every ε. This attack starts within ±ε/10, which is the same at the paper's ε = 0.5.
    The candidate is the last iterate. The paper draws negative items once, but this attack draws new ones for every
    step.
    """

    class Config(EmbeddingConfig):
        """Settings of MSAP.

        The defaults are the strongest settings of the paper.
        """

        norm: Literal["linf"] = "linf"
        scale: Scale = "absolute"
        surface: Literal["embedding", "parameters"] = "parameters"
        positives: Literal["held-out", "known"] = "known"
        loss: LossName = Field(default="bpr", description="Loss that the steps increase")
        steps: int = Field(default=25, ge=1, description="Gradient steps")
        share: float = Field(default=0.25, gt=0, description="L2 length of a step, as a multiple of ε")
        start: Literal["zero", "uniform"] = Field(
            default="zero", description="First iterate: δ = 0, or entries uniform in ±ε/10"
        )

    config: Config
    gradient: ClassVar[bool] = True

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """Yields the last iterate as the only candidate.

        The shape is [rows, d] per table on ``parameters``, and [B, ...] per input on ``embedding``.
        """
        step = Ball("l2", ball.radius * self.config.share)
        delta: Delta = oracle.zero()
        if self.config.start == "uniform":
            delta = uniform_start(oracle, Ball("linf", ball.radius * 0.1), rng.child("start"))
        for _ in range(self.config.steps):
            gradient = oracle.gradient(delta, self.config.loss).gradient
            assert gradient is not None  # gradient() always returns a gradient
            delta = ball.project(added(delta, step.ascent(gradient)))
        yield delta
