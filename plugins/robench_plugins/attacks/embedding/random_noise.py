"""Random noise: the floor that every gradient attack must beat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from pydantic import Field

from robench.api import Ball, Delta, EmbeddingAttack, EmbeddingConfig, Oracle, Rng


class RandomNoise(EmbeddingAttack):
    """Takes the worst of several random points on the surface of the ball.

    In L2 a point has a uniform direction and full length. In L∞ a point is a random corner of the cube, so every entry
    is r or −r, where r is the radius of the ball. The FGSM point is a corner too. For a fair comparison, give this
    attack as many draws as the gradient attack has score evaluations.
    """

    class Config(EmbeddingConfig):
        """Settings of the random points."""

        draws: int = Field(default=20, ge=1, description="Random points per user")

    config: Config
    heuristic_floor: ClassVar[bool] = True

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """Yields one candidate per draw, [B, ...] per input.

        ``Ball.ascent`` moves a normal draw to the sphere (L2) or to a corner of the cube (L∞).
        """
        for draw in range(self.config.draws):
            yield ball.ascent(oracle.normal(rng.child("draw", draw)))
