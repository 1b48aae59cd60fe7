"""FGSM: one step along the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from robench.api import Ball, Delta, EmbeddingAttack, EmbeddingConfig, LossName, Oracle, Rng


class Fgsm(EmbeddingAttack):
    """Moves by the whole budget in one step along the gradient of the loss.

    This is the fast gradient sign method of Goodfellow et al. (ICLR 2015, section 4). In L∞ the step is δ = r · sign(∇
    loss), where r is the radius of the ball. In L2 the step is the normalised gradient, δ = r · ∇ loss / ‖∇ loss‖₂, as
    in Miyato et al. (ICLR 2017, section 3). A gradient of 0 gives δ = 0.
    """

    class Config(EmbeddingConfig):
        """Settings of FGSM."""

        norm: Literal["l2", "linf"] = "linf"
        loss: LossName = Field(default="ce", description="Loss that the step increases")

    config: Config
    gradient: ClassVar[bool] = True

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """Yields the only candidate, [B, ...] per input."""
        gradient = oracle.gradient(oracle.zero(), self.config.loss).gradient
        assert gradient is not None  # gradient() always returns a gradient
        yield ball.ascent(gradient)
