"""APGD: projected ascent with momentum and a step that halves itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field

from robench.api import Ball, Delta, EmbeddingAttack, EmbeddingConfig, LossName, Oracle, Rng
from robench.api.attacks.ball import wide
from robench_plugins.attacks.embedding.steps import random_start

if TYPE_CHECKING:
    from torch import Tensor

MOMENTUM, RISING = 0.75, 0.75  # α and ρ of the paper


def checkpoints(steps: int) -> list[int]:
    """Iterations at which the step is reconsidered: ⌈p_j · steps⌉, p = 0, .22, p_j + max(p_j − p_(j−1) − .03, .06)."""
    shares, found = [0.0, 0.22], [math.ceil(0.22 * steps)]
    while True:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
        mark = math.ceil(round(shares[-1] * steps, 9))
        if mark > steps:
            return found
        if mark > found[-1]:
            found.append(mark)


class Apgd(EmbeddingAttack):
    """Auto-PGD (Croce & Hein, ICML 2020, algorithm 1) on a loss of the host; no step size to choose.

    Step 2ε at first, halved per user at a checkpoint where too few steps rose (condition 1) or the best loss has not
    moved since the last checkpoint without a halving (condition 2); the search then goes on from the best point.
    Restart 0 starts from δ = 0, so that it is deterministic, further restarts from a random point.
    """

    class Config(EmbeddingConfig):
        """Settings."""

        norm: Literal["l2", "linf"] = "linf"
        loss: LossName = "ce"
        steps: int = Field(default=50, ge=1, description="gradients per restart")
        restarts: int = Field(default=1, ge=1)

    config: Config
    gradient: ClassVar[bool] = True

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """Per restart the iterate of the highest loss, and that of the highest loss among those that break the user."""
        for restart in range(self.config.restarts):
            start = oracle.zero() if restart == 0 else random_start(oracle, ball, rng.child("start", restart))
            yield from self._ascend(oracle, ball, start)

    def _ascend(self, oracle: Oracle, ball: Ball, start: Delta) -> Iterator[Delta]:
        now, before, marks = start, start, [0, *checkpoints(self.config.steps)]
        value, broken, slope = self._look(oracle, now)
        best, best_slope, best_value = now, slope, value
        fallen, fallen_value = now, torch.where(broken, value, -torch.inf)
        stride = torch.full_like(value, 2.0)
        rises, known, halved = torch.zeros_like(value), value, torch.ones_like(broken)
        for step in range(1, self.config.steps + 1):
            goal = Ball(ball.norm, stride * ball.radius).ascent(slope)
            ahead = ball.project({name: part + goal[name] for name, part in now.items()})
            if step > 1:
                ahead = ball.project(
                    {
                        name: part + MOMENTUM * (ahead[name] - part) + (1 - MOMENTUM) * (part - before[name])
                        for name, part in now.items()
                    }
                )
            before, now, last = now, ahead, value
            value, broken, slope = self._look(oracle, now)
            rises = rises + (value > last)
            better, lower = value > best_value, broken & (value > fallen_value)
            best, best_slope = _chosen(better, now, best), _chosen(better, slope, best_slope)
            best_value = torch.where(better, value, best_value)
            fallen, fallen_value = _chosen(lower, now, fallen), torch.where(lower, value, fallen_value)
            if step in marks:
                span = step - marks[marks.index(step) - 1]
                halving = (rises < RISING * span) | (~halved & (best_value <= known))
                stride = torch.where(halving, stride / 2, stride)
                now, slope = _chosen(halving, best, now), _chosen(halving, best_slope, slope)
                value = torch.where(halving, best_value, value)
                rises, known, halved = torch.zeros_like(value), best_value, halving
        yield best
        yield fallen

    def _look(self, oracle: Oracle, delta: Delta) -> tuple[Tensor, Tensor, Delta]:
        seen = oracle.gradient(delta, self.config.loss)
        assert seen.gradient is not None  # gradient() always gives one
        return seen.loss, seen.broken, seen.gradient


def _chosen(which: Tensor, new: Delta, old: Delta) -> dict[str, Tensor]:
    return {n: torch.where(wide(which, part), new[n], part) for n, part in old.items()}
