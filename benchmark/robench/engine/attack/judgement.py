"""Compares candidates by their damage, and then by their loss, as the host does."""

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
        damage: the damage of each row, float64 [B]. Higher is worse for the defender.
        loss: the loss ``ce`` of each row, float [B].
        broken: whether the goal is reached for each row, bool [B].
    """

    damage: Tensor
    loss: Tensor
    broken: Tensor

    def where(self, better: Tensor, other: Judgement) -> Judgement:
        """Returns this judgement in the rows in which ``better`` (bool [B]) is true, and the other one elsewhere."""
        return Judgement(*(torch.where(better, new, old) for new, old in zip(self, other, strict=True)))


class Harm(Protocol):
    """The damage and the loss of each row, for anything that the host compares."""

    @property
    def damage(self) -> Tensor:
        """The damage, float64. Higher is worse for the defender."""
        ...

    @property
    def loss(self) -> Tensor:
        """The loss, float. It decides between candidates of equal damage."""
        ...


def worse(new: Harm, old: Harm) -> Tensor:
    """Returns the rows in which ``new`` is worse for the defender than ``old``.

    A candidate is worse if it does more damage, or equal damage at a higher loss.
    """
    return (new.damage > old.damage) | ((new.damage == old.damage) & (new.loss > old.loss))


def judge_scores(goal: Goal, draws: Iterable[Tensor], damage_of: Callable[[Tensor], Tensor] | None = None) -> Judgement:
    """Judges masked scores by a goal.

    Damage and loss are means over the draws. A user is broken if the goal is reached in at least half of the draws.

    Args:
        goal: the goal of the users to whom these scores belong.
        draws: masked scores, float [B, n_items] each.
        damage_of: the measure of damage; ``goal.damage`` by default.
    """
    measure = damage_of or goal.damage
    judged = [(measure(scores), goal.loss(scores, "ce"), goal.broken(scores)) for scores in draws]
    damage, loss, broken = zip(*judged, strict=True)
    return Judgement(mean(list(damage)), mean(list(loss)), majority(list(broken)))
