"""PGD: many small steps, projected after each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from robench.api import Ball, Delta, EmbeddingAttack, EmbeddingConfig, LossName, Oracle, Rng
from robench_plugins.attacks.embedding.steps import Highest, aims, random_start


class Pgd(EmbeddingAttack):
    """Projected gradient ascent (Madry et al., ICLR 2018, section 2.1), step 2.5 ε / steps, projected in its own norm.

    Restart 0 starts from δ = 0, further restarts from a random point of the ball; with the loss ``margin`` and k = 1
    they aim at the best rivals in turn instead (MultiTargeted, Gowal et al. 2019, algorithm 1). The candidates are the
    FGSM point, so that at equal ε PGD is never weaker than FGSM, and of each restart the last iterate and that of the
    highest loss.
    """

    class Config(EmbeddingConfig):
        """Settings."""

        norm: Literal["l2", "linf"] = "linf"
        loss: LossName = "ce"
        steps: int = Field(default=20, ge=1)
        restarts: int = Field(default=1, ge=1)

    config: Config
    gradient: ClassVar[bool] = True

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """The one-step point, then of each restart the last iterate and the one of the highest loss before it."""
        rivals = aims(oracle, self.config) if self.config.loss == "margin" else []
        for restart in range(self.config.restarts):
            rival = rivals[restart - 1] if 0 < restart <= len(rivals) else None
            fresh = restart == 0 or rival is not None
            delta = oracle.zero() if fresh else random_start(oracle, ball, rng.child("start", restart))
            for step in range(self.config.steps):
                seen = oracle.gradient(delta, self.config.loss, rival)
                assert seen.gradient is not None  # gradient() always gives one
                if restart == 0 and step == 0:
                    yield ball.ascent(seen.gradient)
                if step == 0:
                    highest = Highest(delta, seen.loss)
                else:
                    highest.then(delta, seen.loss)
                delta = ball.step(delta, seen.gradient, 2.5 / self.config.steps)
            yield delta
            yield highest.found()
