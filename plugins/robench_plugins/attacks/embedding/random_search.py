"""Random search: an attack through scores alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from robench.api import Ball, Delta, EmbeddingAttack, EmbeddingConfig, LossName, Oracle, Rng
from robench.api.attacks.ball import wide
from robench_plugins.attacks.embedding.steps import random_start

if TYPE_CHECKING:
    from torch import Tensor

# Square's schedule (its section 3.2): the share of entries that change halves at these iterations of 10,000.
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


def share_at(query: int, queries: int, first: float) -> float:
    """The share of entries that a proposal changes."""
    return float(first * 0.5 ** sum(query * 10_000 > mark * queries for mark in HALVINGS))


class RandomSearch(EmbeddingAttack):
    """Accept-if-worse random search over some entries at a time, after Square (Andriushchenko et al., ECCV 2020).

    Embedded inputs have no squares of neighbouring pixels, so the entries are drawn at random. L∞: the drawn entries go
    to ±r (their eq. 2: the corners of the cube). L2: they are drawn anew and the whole is scaled back to the sphere.
    About two entries of a user change at least.
    No gradient is asked for: a defence that only hides its gradient does not stop it.
    """

    class Config(EmbeddingConfig):
        """Settings."""

        loss: LossName = "margin"
        queries: int = Field(default=200, ge=1)
        share: float = Field(default=0.8, gt=0, le=1, description="of the entries, changed at first")

    config: Config

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """The best point found."""
        c = self.config
        best = ball.project(random_start(oracle, ball, rng.child("start")))
        worst = oracle.evaluate(best, c.loss).loss
        for query in range(1, c.queries):
            stream = rng.child("query", query)
            share = (2 / oracle.lengths()).clamp_min(share_at(query, c.queries, c.share))
            proposed = _proposed(oracle, ball, best, share, stream)
            loss = oracle.evaluate(proposed, c.loss).loss
            better = loss > worst
            worst = torch.where(better, loss, worst)
            best = {n: torch.where(wide(better, part), proposed[n], part) for n, part in best.items()}
        yield best


def _proposed(oracle: Oracle, ball: Ball, best: Delta, share: Tensor, rng: Rng) -> dict[str, Tensor]:
    """``best`` with a ``share`` [B] of its entries drawn anew, back on the surface of the ball."""
    draw, pick = oracle.normal(rng), oracle.uniform(rng)
    fresh = ball.ascent(draw)
    mixed = {n: torch.where((pick[n] + 1) / 2 < wide(share, part), fresh[n], part) for n, part in best.items()}
    return mixed if ball.norm == "linf" else ball.ascent(mixed)
