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
    """The goal of an attack on the titles of A items.

    Results for a chunk are sums over users, so the results of all chunks can be added.
    """

    @property
    def items(self) -> IntArray:
        """The catalogue rows of the items with titles that may change, int64 [A]."""
        ...

    @property
    def k(self) -> int:
        """The length of the top lists to which the goal refers."""
        ...

    def sums(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns four sums over a chunk's users for each item, float64 [4, A].

        The sums are the loss, the number of users for which the goal is reached, the damage, and the number of users to
        which the goal applies.

        Args:
            scores: the masked scores of the users, float [B, n_items].
            chunk: the chunk of users.
        """
        ...

    def users(self, chunk: EvaluationChunk) -> Tensor:
        """Returns the number of users to which the goal applies, int64 [A].

        There is one number for each of the A items.
        """
        ...

    def loss(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns the sum of each item's loss over the users of a chunk, float [A].

        The sum is differentiable. The shape is [1] if the loss is the same for every item.
        """
        ...


@dataclass(frozen=True, eq=False)
class PromotionGoal:
    """The goal that the promoted items enter the top k of as many users as possible.

    Each promoted item has a separate loss. The goal applies to an item and a user only if the item is neither known nor
    held out for this user.

    Args:
        items: the catalogue rows of the promoted items, int64 [A].
        k: the length of the top lists to which the goal refers.
    """

    items: IntArray
    k: int

    def sums(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns four sums for each item, float64 [4, A].

        The sums cover the users of the chunk that do not have the item. The sums are the log softmax of the item's
        score, the number of users with the item in the top k, the item's NDCG@k, and the number of users.
        """
        goal = Goal("promote", eligible_targets(chunk, self.items).to(scores.device), self.k)
        ranks = goal.ranks(scores)
        top = (ranks > 0) & (ranks <= self.k)
        parts = [self._log_softmax(scores, goal.items).double(), top.double(), torch.where(top, discount(ranks), 0.0)]
        return torch.stack([*(part.sum(0) for part in parts), (goal.items >= 0).double().sum(0)])

    def users(self, chunk: EvaluationChunk) -> Tensor:
        """Returns, for each item, the number of users without the item, int64 [A]."""
        return (eligible_targets(chunk, self.items) >= 0).sum(0).cpu()

    def loss(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns the log softmax of each item's score, summed over users: float [A].

        The sum covers the users of the chunk that do not have the item, and is differentiable.
        """
        return self._log_softmax(scores, eligible_targets(chunk, self.items).to(scores.device)).sum(0)

    @staticmethod
    def _log_softmax(scores: Tensor, items: Tensor) -> Tensor:
        """Returns the log softmax at ``items`` [B, A], with 0 for item −1."""
        log = scores.gather(1, items.clamp_min(0)) - scores.logsumexp(1, keepdim=True)
        return torch.where(items >= 0, log, 0.0)


@dataclass(frozen=True, eq=False)
class HeldOutGoal:
    """The goal that held-out items fall out of the top k.

    All titles together have one loss, so the results are the same for every item.

    Args:
        items: the catalogue rows of the items with titles that may change, int64 [A].
        k: the length of the top lists to which the goal refers.
    """

    items: IntArray
    k: int

    def sums(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns four sums over the users of a chunk, float64 [4, A].

        The sums are the loss ``ce``, the number of users without a held-out item in the top k, −NDCG@k, and the number
        of users. Each sum is the same for all items.
        """
        goal = Goal("untargeted", chunk.held.to(scores.device), self.k)
        parts = [goal.loss(scores, "ce"), goal.broken(scores), goal.damage_at_k(scores), torch.ones(len(scores))]
        return torch.stack([part.double().sum().cpu() for part in parts]).unsqueeze(1).expand(4, len(self.items))

    def users(self, chunk: EvaluationChunk) -> Tensor:
        """Returns the number of users in a chunk, repeated for each item: int64 [A]."""
        return torch.full((len(self.items),), len(chunk.held))

    def loss(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Returns the sum of the loss ``ce`` over the users of a chunk, float [1].

        The sum is differentiable.
        """
        return Goal("untargeted", chunk.held.to(scores.device), self.k).loss(scores, "ce").sum().unsqueeze(0)
