"""Defines goals of attacks on titles, over all evaluated users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from robench.api.data import IntArray
from robench.engine.attack.goal import Goal, eligible_targets
from robench.engine.rank.chunk import EvaluationChunk
from robench.engine.rank.ranking import discount


class TitleGoal(Protocol):
    """A goal of an attack on the titles of some items.

    Its sums over users add up over chunks.

    Args:
        items: int64 [A], rows of the items with titles that may change.
        k: the top k.
    """

    @property
    def items(self) -> IntArray:
        """The rows of the items with titles that may change, int64 [A]."""
        ...

    @property
    def k(self) -> int:
        """The top k."""
        ...

    def sums(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns sums per item over the users of a chunk, float64 [4, A].

        They are the loss, the users for whom the goal is reached, the damage, and the users that count.
        """
        ...

    def users(self, chunk: EvaluationChunk) -> Tensor:
        """Returns how many users of a chunk count for each item, [A]."""
        ...

    def loss(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns the loss summed over the users, [A]; differentiable.

        It is [1] if it is the same for every item.
        """
        ...


@dataclass(frozen=True, eq=False)
class PromotionGoal:
    """The goal that some items enter the top k of many users.

    Each has a loss of its own.

    Args:
        items: int64 [A].
        k: the top k.
    """

    items: IntArray
    k: int

    def sums(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns sums per item over the users without it, float64 [4, A].

        They are its log softmax, the hits in the top k, NDCG, and the users.
        """
        goal = Goal("promote", eligible_targets(chunk, self.items).to(scores.device), self.k)
        ranks = goal.ranks(scores)
        top = (ranks > 0) & (ranks <= self.k)
        parts = [self._log_softmax(scores, goal.items).double(), top.double(), torch.where(top, discount(ranks), 0.0)]
        return torch.stack([*(part.sum(0) for part in parts), (goal.items >= 0).double().sum(0)])

    def users(self, chunk: EvaluationChunk) -> Tensor:
        """Returns how many users of a chunk are without each item, [A]."""
        return (eligible_targets(chunk, self.items) >= 0).sum(0).cpu()

    def loss(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns the summed log softmax of each item, [A]; differentiable.

        The sum runs over the users without the item.
        """
        return self._log_softmax(scores, eligible_targets(chunk, self.items).to(scores.device)).sum(0)

    @staticmethod
    def _log_softmax(scores: Tensor, items: Tensor) -> Tensor:
        """Returns the log softmax of each item, 0 at −1: [B, A]."""
        log = scores.gather(1, items.clamp_min(0)) - scores.logsumexp(1, keepdim=True)
        return torch.where(items >= 0, log, 0.0)


@dataclass(frozen=True, eq=False)
class HeldOutGoal:
    """The goal that held-out items fall, whichever titles cause the fall.

    Every item has the same loss.

    Args:
        items: int64 [A], the items with titles that may change.
        k: the top k.
    """

    items: IntArray
    k: int

    def sums(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns sums over the users of a chunk, the same per item: float64 [4, A].

        They are the loss ``ce``, the users without a held-out item in the top k, −NDCG, and the users.
        """
        goal = Goal("untargeted", chunk.held.to(scores.device), self.k)
        parts = [goal.loss(scores, "ce"), goal.broken(scores), goal.damage_at_k(scores), torch.ones(len(scores))]
        return torch.stack([part.double().sum().cpu() for part in parts]).unsqueeze(1).expand(4, len(self.items))

    def users(self, chunk: EvaluationChunk) -> Tensor:
        """Returns the number of users of a chunk, the same for every item: [A]."""
        return torch.full((len(self.items),), len(chunk.held))

    def loss(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns the loss ``ce`` summed over the users, [1]; differentiable."""
        return Goal("untargeted", chunk.held.to(scores.device), self.k).loss(scores, "ce").sum().unsqueeze(0)
