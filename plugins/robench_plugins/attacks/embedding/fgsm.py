"""FGSM: one step along the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from robench.api import Ball, Delta, EmbeddingAttack, EmbeddingConfig, LossName, Oracle, Rng


class Fgsm(EmbeddingAttack):
    """δ = ε · RMS · sign(∇ loss) in L∞ (Goodfellow et al., ICLR 2015, section 4); in L2 the normalised gradient.

    A gradient of 0 gives δ = 0.
    """

    class Config(EmbeddingConfig):
        """Settings."""

        norm: Literal["l2", "linf"] = "linf"
        loss: LossName = "ce"

    config: Config
    gradient: ClassVar[bool] = True

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """The one candidate."""
        gradient = oracle.gradient(oracle.zero(), self.config.loss).gradient
        assert gradient is not None  # gradient() always gives one
        yield ball.ascent(gradient)
