"""Judges candidates, first by damage and then by loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from robench.engine.attack.draws import majority, mean
from robench.engine.attack.goal import Goal


class Judgement(NamedTuple):
    """The host's judgement of a candidate, row by row.

    Args:
        damage: the damage of each row, float64 [B]. Higher damage is worse for the defender.
        loss: the loss ``ce`` of each row, float [B].
        broken: whether the goal is reached for each row, bool [B].
    """

    damage: Tensor
    loss: Tensor
    broken: Tensor

    def where(self, better: Tensor, other: Judgement) -> Judgement:
        """Combines the rows of two judgements.

        Rows for which ``better`` (bool [B]) is true come from this judgement, and all others come from ``other``.
        """
        return Judgement(*(torch.where(better, new, old) for new, old in zip(self, other, strict=True)))


class Harm(Protocol):
    """Anything that can be compared by the damage and the loss of each row."""

    @property
    def damage(self) -> Tensor:
        """The damage of each row, float64. Higher damage is worse for the defender."""
        ...

    @property
    def loss(self) -> Tensor:
        """The loss of each row. It decides between candidates of equal damage."""
        ...


def worse(new: Harm, old: Harm) -> Tensor:
    """Returns whether each row is worse for the defender in ``new`` than in ``old``.

    A row is worse if the damage is higher, or if the damage is equal and the loss is higher.
    """
    return (new.damage > old.damage) | ((new.damage == old.damage) & (new.loss > old.loss))


def judge_scores(
    goal: Goal, draws: Iterable[Tensor], damage_of: Callable[[Goal, Tensor], Tensor] = Goal.damage
) -> Judgement:
    """Judges a candidate's scores with respect to a goal.

    Each scoring is judged on the device of its scores. The result is on the goal's device. Damage and loss are means
    over the scorings. A user is broken if the goal is reached in at least half of the scorings.

    Args:
        goal: the goal of these users.
        draws: the masked scores of each scoring, float [B, n_items].
        damage_of: the function that computes the damage from a goal and scores.
    """
    judged = [_judge(goal.to(scores.device), scores, damage_of) for scores in draws]
    damage, loss, broken = ([part.to(goal.items.device) for part in parts] for parts in zip(*judged, strict=True))
    return Judgement(mean(damage), mean(loss), majority(broken))


def _judge(goal: Goal, scores: Tensor, damage_of: Callable[[Goal, Tensor], Tensor]) -> tuple[Tensor, ...]:
    return damage_of(goal, scores), goal.loss(scores, "ce"), goal.broken(scores)
