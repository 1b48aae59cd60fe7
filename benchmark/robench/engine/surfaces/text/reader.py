"""What attacks on titles are judged by: a victim that reads titles, and the two aims, over a chunk of its users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robench.api.data import Catalogue, IntArray, Interactions
from robench.api.models.base import Model
from robench.engine.attack.draws import Draws
from robench.engine.attack.goal import Goal, discount, eligible
from robench.engine.data.titles import Clean
from robench.engine.rank.ranking import EvaluationChunk, mask_known


@dataclass(frozen=True, eq=False)
class Reader:
    """One victim where its titles can be rewritten.

    Args:
        model: fitted, with the surface ``text``.
        history: one row per real user.
        questions: of each chunk, on the CPU.
        catalogue: the genuine items.
        draws: streams where the victim draws at test time.
        clean: how the defence reads a title.
    """

    model: Model
    history: Interactions
    chunk: Sequence[EvaluationChunk]
    catalogue: Catalogue
    draws: Draws
    clean: Clean | None = None

    def read(self, title: str) -> str:
        """The title as the model reads it."""
        return title if self.clean is None else self.clean(title)

    def victim(self, titles: Mapping[int, str]) -> Model:
        """The model where the items of other titles read otherwise; of the others nothing is encoded again."""
        items = self.catalogue.items
        changed = {row: title for row, title in titles.items() if title != items[row].title}
        return self.model.rewritten({row: replace(items[row], title=self.read(t)) for row, t in changed.items()})

    def scores(self, victim: Model, chunk: EvaluationChunk) -> Tensor:
        """Masked scores of a chunk: float [B, n_items]."""
        return mask_known(torch.from_numpy(victim.scores(chunk.users.numpy(), self.history)), chunk)


@dataclass(frozen=True, eq=False)
class PromotionGoal:
    """Some items shall enter many users' top k; each has a loss of its own.

    Args:
        items: int64 [A].
        k: the top k.
    """

    items: IntArray
    k: int

    def sums(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Of a chunk's users who have nothing to do with an item: log softmax, in the top k, NDCG, how many:
        float64 [4, A].
        """
        goal = Goal("promote", eligible(chunk, self.items).to(scores.device), self.k)
        ranks = goal.ranks(scores)
        top = (ranks > 0) & (ranks <= self.k)
        parts = [self._logs(scores, goal.items).double(), top.double(), torch.where(top, discount(ranks), 0.0)]
        return torch.stack([*(part.sum(0) for part in parts), (goal.items >= 0).double().sum(0)])

    def users(self, chunk: EvaluationChunk) -> Tensor:
        """How many users of a chunk count for an item: [A]."""
        return (eligible(chunk, self.items) >= 0).sum(0).cpu()

    def loss(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Sum over the users of an item's log softmax: [A]; differentiable."""
        return self._logs(scores, eligible(chunk, self.items).to(scores.device)).sum(0)

    @staticmethod
    def _logs(scores: Tensor, items: Tensor) -> Tensor:
        """Log softmax of each item, 0 where it is −1: [B, A]."""
        log = scores.gather(1, items.clamp_min(0)) - scores.logsumexp(1, keepdim=True)
        return torch.where(items >= 0, log, 0.0)


@dataclass(frozen=True, eq=False)
class HeldOutGoal:
    """Held-out items shall fall, whichever titles do it: every item has the same loss.

    Args:
        items: int64 [A], whose titles may change.
        k: the top k.
    """

    items: IntArray
    k: int

    def sums(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Of a chunk's users: the loss ``ce``, no held-out item in the top k, −NDCG, how many: float64 [4, A]."""
        goal = Goal("untargeted", chunk.held.to(scores.device), self.k)
        parts = [goal.loss(scores, "ce"), goal.broken(scores), goal.damage_at_k(scores), torch.ones(len(scores))]
        return torch.stack([part.double().sum().cpu() for part in parts]).unsqueeze(1).expand(4, len(self.items))

    def users(self, chunk: EvaluationChunk) -> Tensor:
        """How many users of a chunk count, all of them: [A]."""
        return torch.full((len(self.items),), len(chunk.held))

    def loss(self, scores: Tensor, chunk: EvaluationChunk) -> Tensor:
        """Sum over the users of the loss ``ce``: [1]; differentiable."""
        return Goal("untargeted", chunk.held.to(scores.device), self.k).loss(scores, "ce").sum().unsqueeze(0)
