"""Random search: an attack that uses scores but no gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from robench.api import Ball, Delta, EmbeddingAttack, EmbeddingConfig, LossName, Oracle, Rng
from robench.api.attacks.ball import wide
from robench_plugins.attacks.embedding.best_iterate import select_rows
from robench_plugins.attacks.embedding.restarts import random_start

if TYPE_CHECKING:
    from torch import Tensor

# The schedule of the Square attack (section 3.2). The share of changed entries is halved after these of 10,000 queries.
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)


def changed_share(query: int, queries: int, first: float) -> float:
    """Returns the share of entries, in (0, 1], that the proposal of a query changes.

    The share is halved nine times, at the queries that ``HALVINGS`` gives for 10,000 queries in total. For any other
    total, these numbers are scaled.

    Args:
        query: the number of the query, from 1.
        queries: the total number of queries.
        first: the share at the beginning.
    """
    return float(first * 0.5 ** sum(query * 10_000 > mark * queries for mark in HALVINGS))


class RandomSearch(EmbeddingAttack):
    """Changes some random entries at a time and keeps the change if the loss rises.

    The attack follows the Square attack of Andriushchenko et al. (ECCV 2020, algorithm 1). Embedded inputs have no
    squares of neighbouring pixels, so this attack chooses the entries at random. In L∞ the chosen entries move to ±r,
    the corners of the cube (eq. 2 of the paper), where r is the radius of the ball. In L2 the chosen entries get new
    random values, and the whole vector is scaled back to the sphere. On average, a proposal changes at least two
    entries of a user. The attack needs no gradient, so a defence that only hides its gradient does not stop it.
    """

    class Config(EmbeddingConfig):
        """Settings of the random search."""

        loss: LossName = Field(default="margin", description="Loss that accepted changes increase")
        queries: int = Field(default=200, ge=1, description="Score evaluations")
        share: float = Field(default=0.8, gt=0, le=1, description="Share of entries that the first proposals change")

    config: Config

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """Yields the point with the highest loss, [B, ...] per input."""
        c = self.config
        best = ball.project(random_start(oracle, ball, rng.child("start")))
        best_loss = oracle.evaluate(best, c.loss).loss
        for query in range(1, c.queries):
            stream = rng.child("query", query)
            share = (2 / oracle.lengths()).clamp_min(changed_share(query, c.queries, c.share))
            proposal = _proposal(oracle, ball, best, share, stream)
            loss = oracle.evaluate(proposal, c.loss).loss
            better = loss > best_loss
            best_loss = torch.where(better, loss, best_loss)
            best = select_rows(better, proposal, best)
        yield best


def _proposal(oracle: Oracle, ball: Ball, best: Delta, share: Tensor, rng: Rng) -> dict[str, Tensor]:
    """Returns ``best`` with new draws for some entries.

    In L∞ a new entry is ±r, where r is the radius of the ball. In L2 the whole vector is scaled to the sphere.

    Args:
        oracle: the oracle of the users whose inputs are perturbed.
        ball: the perturbations within budget.
        best: the best point so far, [B, ...] per input.
        share: the share of entries to draw again, float [B].
        rng: the source of the draws.
    """
    draw, pick = oracle.normal(rng), oracle.uniform(rng)
    fresh = ball.ascent(draw)
    mixed = {n: torch.where((pick[n] + 1) / 2 < wide(share, part), fresh[n], part) for n, part in best.items()}
    return mixed if ball.norm == "linf" else ball.ascent(mixed)
