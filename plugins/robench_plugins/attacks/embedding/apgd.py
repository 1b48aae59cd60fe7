"""APGD: projected ascent with momentum and an automatic step size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field

from robench.api import Ball, Delta, EmbeddingAttack, EmbeddingConfig, LossName, Oracle, Rng
from robench_plugins.attacks.embedding.best_iterate import select_rows
from robench_plugins.attacks.embedding.restarts import random_start

if TYPE_CHECKING:
    from torch import Tensor

MOMENTUM, RISING_SHARE = 0.75, 0.75  # α and ρ of the paper


def checkpoints(steps: int) -> list[int]:
    """Returns the iterations at which the step size is reconsidered.

    The iterations are the distinct ⌈p_j · steps⌉ for j ≥ 1 that do not exceed ``steps``. Here p_0 = 0, p_1 = 0.22 and
    p_(j+1) = p_j + max(p_j − p_(j−1) − 0.03, 0.06), as in section 3.2 of Croce & Hein (ICML 2020).
    """
    shares, marks = [0.0, 0.22], [math.ceil(0.22 * steps)]
    while True:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
        mark = math.ceil(round(shares[-1] * steps, 9))
        if mark > steps:
            return marks
        if mark > marks[-1]:
            marks.append(mark)


class Apgd(EmbeddingAttack):
    """Climbs the loss with momentum and a step size that adapts to each user.

    The attack is Auto-PGD of Croce & Hein (ICML 2020, algorithm 1). The host computes the loss. The first steps have
    length 2r, where r is the radius of the ball. At a checkpoint the step is halved for a user if either of two
    conditions holds. Condition 1 holds if fewer than 75% of the steps since the last checkpoint raised the loss.
    Condition 2 holds if the best loss has not risen since the last checkpoint and the step was not halved there. After
    a halving the search continues from the best point. Restart 0 starts from δ = 0, so this restart is deterministic.
    Further restarts start from a random point, as in the paper.
    """

    class Config(EmbeddingConfig):
        """Settings of APGD."""

        norm: Literal["l2", "linf"] = "linf"
        loss: LossName = Field(default="ce", description="Loss that the steps increase")
        steps: int = Field(default=50, ge=1, description="Gradient steps per restart")
        restarts: int = Field(default=1, ge=1, description="Starting points, the first of which is δ = 0")

    config: Config
    gradient: ClassVar[bool] = True

    def perturb(self, oracle: Oracle, ball: Ball, rng: Rng) -> Iterator[Delta]:
        """Yields two candidates per restart, [B, ...] per input.

        One is the iterate with the highest loss. The other has the highest loss among the iterates that reach the goal.
        If no iterate reaches the goal, the other is the starting point.
        """
        for restart in range(self.config.restarts):
            start = oracle.zero() if restart == 0 else random_start(oracle, ball, rng.child("start", restart))
            yield from self._ascend(oracle, ball, start)

    def _ascend(self, oracle: Oracle, ball: Ball, start: Delta) -> Iterator[Delta]:
        """Yields the two candidates of one restart."""
        current, previous, marks = start, start, [0, *checkpoints(self.config.steps)]
        loss, broken, gradient = self._evaluate(oracle, current)
        best, best_gradient, best_loss = current, gradient, loss
        success, success_loss = current, torch.where(broken, loss, -torch.inf)
        step_size = torch.full_like(loss, 2.0)  # in units of r
        rises, checkpoint_loss, halved = torch.zeros_like(loss), loss, torch.ones_like(broken)
        for step in range(1, self.config.steps + 1):
            move = Ball(ball.norm, step_size * ball.radius).ascent(gradient)
            proposal = ball.project({name: part + move[name] for name, part in current.items()})
            if step > 1:
                proposal = ball.project(
                    {
                        name: part + MOMENTUM * (proposal[name] - part) + (1 - MOMENTUM) * (part - previous[name])
                        for name, part in current.items()
                    }
                )
            previous, current, previous_loss = current, proposal, loss
            loss, broken, gradient = self._evaluate(oracle, current)
            rises = rises + (loss > previous_loss)
            better, better_success = loss > best_loss, broken & (loss > success_loss)
            best, best_gradient = select_rows(better, current, best), select_rows(better, gradient, best_gradient)
            best_loss = torch.where(better, loss, best_loss)
            success = select_rows(better_success, current, success)
            success_loss = torch.where(better_success, loss, success_loss)
            if step in marks:
                interval = step - marks[marks.index(step) - 1]
                halving = (rises < RISING_SHARE * interval) | (~halved & (best_loss <= checkpoint_loss))
                step_size = torch.where(halving, step_size / 2, step_size)
                current = select_rows(halving, best, current)
                gradient = select_rows(halving, best_gradient, gradient)
                loss = torch.where(halving, best_loss, loss)
                rises, checkpoint_loss, halved = torch.zeros_like(loss), best_loss, halving
        yield best
        yield success

    def _evaluate(self, oracle: Oracle, delta: Delta) -> tuple[Tensor, Tensor, Delta]:
        """Evaluates the loss, the goal and the gradient at ``delta``.

        Returns:
            The loss, float [B]; whether the goal is reached, bool [B]; and the gradient for each input, [B, ...].
        """
        evaluation = oracle.gradient(delta, self.config.loss)
        assert evaluation.gradient is not None  # gradient() always returns a gradient
        return evaluation.loss, evaluation.broken, evaluation.gradient
