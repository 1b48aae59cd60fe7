"""Smooth rank: an attack that takes gradient steps on a smooth NDCG."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from robench.api import Ball, Delta, EmbeddingAttack, EmbeddingConfig, Oracle, Rng

WIDEST, NARROWEST = 1.0, 0.02  # the first and the last width τ, in standard deviations of the best rivals' scores
EVERY = 5  # in the second half, every fifth iterate is a candidate
TINY = 1e-12  # the smallest width


class SmoothRank(EmbeddingAttack):
    """Takes gradient steps on a smooth NDCG that becomes more and more exact.

    The losses ``ce``, ``bpr`` and ``margin`` do not follow the rank of a held-out item that stays in the top k. This
    attack lowers the gain 1 / log2(1 + rank) of the held-out item y, or raises the gain of a promoted item y. The true
    rank has no gradient, so the attack uses a smooth rank: 1 + Σ_j σ((s_j − s_y) / τ). The sum is over the rivals j.
    Here s_j is the score of rival j, σ is the logistic function, and τ is a width. This approximation is by Qin, Liu &
    Li (A general approximation framework for direct optimization of information retrieval measures, 2010, section 4.2).

    With a wide τ, the gradient also sees rivals with distant scores. With a narrow τ, the smooth rank is close to the
    true rank. So τ falls geometrically from 1 to 0.02 standard deviations of the k best rivals' scores. The length of
    the steps falls from the radius to 0 along a cosine. The smooth gain is the attack's own loss, and the host computes
    its gradient.
    """

    class Config(EmbeddingConfig):
        """Settings of the attack."""

        norm: Literal["l2", "linf"] = "linf"
        steps: int = Field(default=60, ge=2, description="Gradient steps, from δ = 0")

    config: Config
    gradient: ClassVar[bool] = True

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """Yields every fifth iterate of the second half, and the last iterate.

        Every candidate is a δ of shape [B, ...] per input.
        """
        steps, delta = self.config.steps, oracle.zero()
        sign = -1 if self.config.goal == "untargeted" else 1
        for step in range(steps):
            width = WIDEST * (NARROWEST / WIDEST) ** (step / (steps - 1))
            loss = partial(smooth_gains, width=width, k=self.config.k, sign=sign)
            gradient = oracle.gradient(delta, loss).gradient
            assert gradient is not None  # gradient() always returns a gradient
            delta = ball.step(delta, gradient, (1 + math.cos(math.pi * step / steps)) / 2)
            if step == steps - 1 or (2 * step >= steps and step % EVERY == EVERY - 1):
                yield delta


def smooth_gains(scores: Tensor, items: Tensor, *, width: float, k: int, sign: int) -> Tensor:
    """Returns each user's smooth gain, multiplied by ``sign``: float [B].

    The gain is the mean of 1 / log2(1 + smooth rank) over the items. ``SmoothRank`` defines the smooth rank.

    Args:
        scores: the scores, float [B, n_items], with −inf at known items.
        items: the items of the goal, int64 [B, H], padded with −1.
        width: the width τ, in standard deviations of the k best rivals' scores.
        k: the number of rivals that determine the standard deviation.
        sign: 1 to raise the items, or −1 to lower them.
    """
    users, n_items = scores.shape
    valid = items >= 0
    goal = torch.zeros(users, n_items + 1, dtype=torch.bool, device=scores.device)
    goal.scatter_(1, torch.where(valid, items, n_items), True)
    rivals = scores.masked_fill(goal[:, :n_items], -torch.inf)
    best = rivals.detach().topk(min(k, n_items), dim=1).values
    spread = torch.where(best > -torch.inf, best, best[:, :1]).std(1, correction=0, keepdim=True)
    unit = (width * spread).nan_to_num(0.0).clamp_min(TINY)
    own, gain = scores.gather(1, items.clamp_min(0)), torch.zeros_like(scores[:, 0])
    for place in range(items.shape[1]):
        rank = 1 + torch.sigmoid((rivals - own[:, place : place + 1]) / unit).sum(1)
        gain = gain + torch.where(valid[:, place], 1 / torch.log2(1 + rank), 0.0)
    return sign * gain / valid.sum(1).clamp_min(1)
