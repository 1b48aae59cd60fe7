"""Defines the goals of attacks on titles, over all evaluated users."""

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

    The sums over the users of each chunk add up to the sums over all users.

    Args:
        items: the rows of the items with titles that may change, int64 [A].
        k: the k of the threat model.
    """

    @property
    def items(self) -> IntArray:
        """The rows of the items with titles that may change, int64 [A]."""
        ...

    @property
    def k(self) -> int:
        """The k of the threat model."""
        ...

    def sums(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns sums over the users of a chunk for each item, float64 [4, A].

        The four rows are the loss, the number of users for which the goal is reached, the damage, and the number of
        users that count.
        """
        ...

    def users(self, chunk: EvaluationChunk) -> Tensor:
        """Returns the number of users in a chunk that count for each item, [A]."""
        ...

    def loss(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns the sum of the loss over the users, [A], with gradients.

        The shape is [1] if the loss is the same for every item.
        """
        ...


@dataclass(frozen=True, eq=False)
class PromotionGoal:
    """The goal that some items enter the top k of many users.

    Each of these items has its own loss.

    Args:
        items: the rows of the promoted items, int64 [A].
        k: the k of the threat model.
    """

    items: IntArray
    k: int

    def sums(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns sums over the users without each item, float64 [4, A].

        The four rows are the log softmax of the item, the hits in the top k, the NDCG, and the number of users.
        """
        goal = Goal("promote", eligible_targets(chunk, self.items).to(scores.device), self.k)
        ranks = goal.ranks(scores)
        top = (ranks > 0) & (ranks <= self.k)
        parts = [self._log_softmax(scores, goal.items).double(), top.double(), torch.where(top, discount(ranks), 0.0)]
        return torch.stack([*(part.sum(0) for part in parts), (goal.items >= 0).double().sum(0)])

    def users(self, chunk: EvaluationChunk) -> Tensor:
        """Returns the number of users in a chunk that do not have each item, [A]."""
        return (eligible_targets(chunk, self.items) >= 0).sum(0).cpu()

    def loss(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns the sum of the log softmax of each item, [A], with gradients.

        The sum is taken over the users without the item.
        """
        return self._log_softmax(scores, eligible_targets(chunk, self.items).to(scores.device)).sum(0)

    @staticmethod
    def _log_softmax(scores: Tensor, items: Tensor) -> Tensor:
        """Returns the log softmax of each item, [B, A], with 0 at item −1."""
        log = scores.gather(1, items.clamp_min(0)) - scores.logsumexp(1, keepdim=True)
        return torch.where(items >= 0, log, 0.0)


@dataclass(frozen=True, eq=False)
class HeldOutGoal:
    """The goal that held-out items fall, whichever titles cause this.

    Every item has the same loss.

    Args:
        items: the rows of the items with titles that may change, int64 [A].
        k: the k of the threat model.
    """

    items: IntArray
    k: int

    def sums(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns sums over the users of a chunk, float64 [4, A].

        The sums are equal for all items. The four rows are the loss ``ce``, the users without a held-out item in the
        top k, −NDCG, and the number of users.
        """
        goal = Goal("untargeted", chunk.held.to(scores.device), self.k)
        parts = [goal.loss(scores, "ce"), goal.broken(scores), goal.damage_at_k(scores), torch.ones(len(scores))]
        return torch.stack([part.double().sum().cpu() for part in parts]).unsqueeze(1).expand(4, len(self.items))

    def users(self, chunk: EvaluationChunk) -> Tensor:
        """Returns the number of users in a chunk, repeated for each item: [A]."""
        return torch.full((len(self.items),), len(chunk.held))

    def loss(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns the sum of the loss ``ce`` over the users, [1], with gradients."""
        return Goal("untargeted", chunk.held.to(scores.device), self.k).loss(scores, "ce").sum().unsqueeze(0)
