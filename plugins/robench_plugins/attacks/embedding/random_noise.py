"""Random noise: the floor that every gradient attack must beat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from robench.api import Ball, Delta, EmbeddingAttack, EmbeddingConfig, Oracle, Rng


class RandomNoise(EmbeddingAttack):
    """The worst of ``draws`` random points on the surface of the ball.

    L2: a uniform direction at full length. L∞: a random corner (every entry ±r), the points where FGSM's lies too.
    Give it as many draws as the gradient attack has score evaluations.
    """

    class Config(EmbeddingConfig):
        """Settings."""

        draws: int = Field(default=20, ge=1)

    config: Config
    heuristic_floor: ClassVar[bool] = True

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """The draws; ``ascent`` takes a normal draw to the sphere (L2) or to a corner (L∞)."""
        for draw in range(self.config.draws):
            yield ball.ascent(oracle.normal(rng.child("draw", draw)))
