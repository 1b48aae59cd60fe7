"""Judges candidates for the host, by damage and then by loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from robench.engine.attack.draws import majority, mean
from robench.engine.attack.goal import Goal


class Judgement(NamedTuple):
    """The host's judgement of a candidate, per row.

    Args:
        damage: the damage of each row, float64 [B]. Higher damage is worse for the defender.
        loss: the loss ``ce`` of each row, float [B].
        broken: whether the goal is reached for each row, bool [B].
    """

    damage: Tensor
    loss: Tensor
    broken: Tensor

    def where(self, better: Tensor, other: Judgement) -> Judgement:
        """Takes rows from this judgement if ``better`` is true, and else from ``other``.

        The mask ``better`` is bool [B].
        """
        return Judgement(*(torch.where(better, new, old) for new, old in zip(self, other, strict=True)))


class Harm(Protocol):
    """An object with a damage and a loss per row, which the host can compare."""

    @property
    def damage(self) -> Tensor:
        """The damage, float64. Higher damage is worse for the defender."""
        ...

    @property
    def loss(self) -> Tensor:
        """The loss, float. The loss decides between candidates of equal damage."""
        ...


def worse(new: Harm, old: Harm) -> Tensor:
    """Returns whether each row of ``new`` is worse for the defender than ``old``.

    A candidate is worse if it does more damage, or equal damage at a higher loss.
    """
    return (new.damage > old.damage) | ((new.damage == old.damage) & (new.loss > old.loss))


def judge_scores(
    goal: Goal, draws: Iterable[Tensor], damage_of: Callable[[Goal, Tensor], Tensor] = Goal.damage
) -> Judgement:
    """Judges masked scores by a goal.

    Each draw is judged on the device of its scores. The judgement is on the goal's device. Damage and loss are means
    over the draws. A user is broken if the goal is reached in at least half of the draws.

    Args:
        goal: the goal of the users with these scores.
        draws: masked scores, float [B, n_items] each.
        damage_of: the function that computes the damage from a goal and scores. The default is ``Goal.damage``.
    """
    judged = [_judge(goal.to(scores.device), scores, damage_of) for scores in draws]
    damage, loss, broken = ([part.to(goal.items.device) for part in parts] for parts in zip(*judged, strict=True))
    return Judgement(mean(damage), mean(loss), majority(broken))


def _judge(goal: Goal, scores: Tensor, damage_of: Callable[[Goal, Tensor], Tensor]) -> tuple[Tensor, ...]:
    return damage_of(goal, scores), goal.loss(scores, "ce"), goal.broken(scores)
