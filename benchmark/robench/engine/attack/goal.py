"""Defines the goals of attacks at test time, with the losses that the host owns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from robench.api.attacks.base import LossName, OwnLoss
from robench.api.data import IntArray
from robench.api.threat import GoalName
from robench.engine.attack.losses import hinge_losses, own_losses, pair_losses, smooth_ndcg
from robench.engine.rank.chunk import EvaluationChunk
from robench.engine.rank.ranking import discount, held_out_ranks
from robench.engine.rank.rivals import best_rivals

# From this number of items on, gradients flow through a gather of the best rivals, not through a copy of all scores.
# In smaller catalogues, equal scores could then send the gradient to other rivals than in published results.
MANY = 12_000


def eligible_targets(chunk: EvaluationChunk, targets: IntArray) -> Tensor:
    """Returns each user's promoted items that are neither known nor held out.

    Args:
        chunk: the chunk of users.
        targets: the promoted items, int64 [T].

    Returns:
        The promoted items of each user, int64 [B, T], with −1 in place of known and held-out items.
    """
    promoted = torch.from_numpy(targets).to(chunk.users.device)
    own = (chunk.held[:, :, None] == promoted).any(1)
    row, item = chunk.masked
    place, which = (item[:, None] == promoted).nonzero(as_tuple=True)
    own[row[place], which] = True
    return torch.where(own, -1, promoted)


@dataclass(frozen=True, eq=False)
class Goal:
    """The goal of an attack for a chunk of users.

    An untargeted attack pushes held-out items out of the top k. Any other attack pushes promoted items into the top k.
    Scores are float tensors [B, n_items] with −inf at masked items.

    Args:
        name: ``untargeted`` or ``promote``.
        items: the held-out items, or the promoted items that a user does not have, int64 [B, H], padded with −1.
        k: the length of the top lists to which the goal refers.
    """

    name: GoalName
    items: Tensor
    k: int

    @classmethod
    def of(cls, chunk: EvaluationChunk, name: GoalName, k: int, targets: IntArray | None) -> Goal:
        """Returns the goal for the users of a chunk.

        Args:
            chunk: the chunk of users.
            name: ``untargeted`` or ``promote``.
            k: the length of the top lists to which the goal refers.
            targets: the promoted items, int64 [T]. An untargeted attack does not need them.

        Raises:
            ValueError: if the goal is ``promote`` and there are no targets.
        """
        if name == "untargeted":
            return cls(name, chunk.held, k)
        if targets is None or not len(targets):
            raise ValueError("there is nothing to promote")
        return cls(name, eligible_targets(chunk, targets), k)

    def to(self, device: torch.device) -> Goal:
        """Returns the goal with ``items`` on a device."""
        return self if self.items.device == device else replace(self, items=self.items.to(device))

    def rows(self, chosen: Tensor) -> Goal:
        """Returns the goal for the users at some positions (int64 [b])."""
        return replace(self, items=self.items[chosen])

    @property
    def applies(self) -> Tensor:
        """True for each user for whom ``items`` holds an item: bool [B]."""
        return (self.items >= 0).any(1)

    def loss(self, scores: Tensor, loss: LossName | OwnLoss, rival: Tensor | None = None) -> Tensor:
        """Returns the loss of each user, float [B].

        A higher loss is better for the attacker. The loss is 0 for a user without items to promote.

        Let s be the scores of a user, y an item of the goal, and j a rival. The rivals are the unmasked items outside
        the goal. ``ce`` is the mean of logsumexp(s) − s_y over all y. ``bpr`` is the mean of softplus(s_j − s_y) over
        all pairs of y and j. ``ndcg`` is minus the mean of 1 / log2(1 + r_y), where r_y is the rank of y according to
        ``smooth_ndcg``. If items are promoted, these three losses have the opposite sign.

        ``margin`` is s_(k) minus the highest s_y. Here s_(k) is the score of ``rival``, or the k-th highest s_j. If T
        items are promoted, ``margin`` is the lowest s_y minus the (k − T + 1)-th highest s_j. This value is positive
        only if all T items are in the top k.

        ``hinge`` is the mean over y of −Σ max(0, s_y − s_j), where the sum is over the k best rivals j. If items are
        promoted, s_j − s_y takes the place of s_y − s_j.

        Args:
            scores: the scores, float [B, n_items], with −inf at masked items. The loss is differentiable with respect
                to the scores.
            loss: the name of the loss, or the attack's own function.
            rival: for each user, the item with which ``margin`` compares, int64 [B]. The default is the k-th best
                rival. If items are promoted, this argument is ignored.

        Raises:
            PluginError: if the attack's own function does not return one finite number per user.
        """
        untargeted = self.name == "untargeted"
        if loss == "ce" and self.items.shape[1] == 1:
            # This equals the general formula, and takes half the time forward and backward.
            value = cross_entropy(scores, self.items[:, 0], reduction="none", ignore_index=-1)
            return value if untargeted else -value
        if not isinstance(loss, str):
            return torch.where(self.applies, own_losses(loss, scores, self.items), 0.0)
        own, valid = self._own(scores)
        match loss:
            case "ce":
                gaps = torch.where(valid, scores.logsumexp(1, keepdim=True) - own, 0.0)
                value = gaps.sum(1) / valid.sum(1).clamp_min(1)
            case "bpr":
                value = pair_losses(own, valid, self._others(scores))
            case "margin":
                return self._margin(scores, valid, rival)
            case "hinge":
                own, best = self._own_and_best(scores)
                return hinge_losses(own, valid, best, 1 if untargeted else -1)
            case "ndcg":
                value = -smooth_ndcg(own, valid, self._others(scores), self._own_and_best(scores.detach())[1])
        return value if untargeted else -value

    def ranks(self, scores: Tensor) -> Tensor:
        """Returns the ranks of the items, int64 [B, H], with 0 at padding.

        Ties count against the defender.
        """
        if self.name == "untargeted":
            return held_out_ranks(scores, self.items)
        own, valid = self._own(scores)
        above = torch.stack([(scores > own[:, h : h + 1]).sum(1) for h in range(own.shape[1])], 1)
        return torch.where(valid, above + 1, 0)

    def damage(self, scores: Tensor) -> Tensor:
        """Returns the damage by which the host compares candidates, float64 [B].

        Higher damage is worse for the defender. The damage to a user is −Σ 1 / log2(1 + rank) over the items. If items
        are promoted, the sign is reversed. With one held-out item, a higher rank number means more damage.
        """
        ranks = self.ranks(scores)
        gain = torch.where(ranks > 0, discount(ranks), 0.0).sum(1)
        return -gain if self.name == "untargeted" else gain

    def damage_at_k(self, scores: Tensor) -> Tensor:
        """Returns the damage within the top k, float64 [B].

        The damage is −NDCG@k of the held-out items, or NDCG@k of the promoted items.

        If a candidate serves all users, the host compares candidates by the mean of this damage. For single users, the
        host uses ``damage`` instead, because most candidates would tie within the top k.
        """
        ranks = self.ranks(scores)
        gain = torch.where((ranks > 0) & (ranks <= self.k), discount(ranks), 0.0).sum(1)
        best = discount(torch.arange(1, self.k + 1, device=ranks.device)).cumsum(0)
        share = gain / best[(self.items >= 0).sum(1).clamp(1, self.k) - 1]
        return -share if self.name == "untargeted" else share

    def broken(self, scores: Tensor) -> Tensor:
        """Returns whether the goal is reached for each user, bool [B].

        An untargeted attack must push all held-out items out of the top k. Any other attack must push all promoted
        items into the top k.
        """
        own, valid = self._own(scores)
        if self.name == "untargeted":
            best = torch.where(valid, own, -torch.inf).amax(1, keepdim=True)
            tied = ((own == best) & valid).sum(1)
            return (scores >= best).sum(1) - tied >= self.k
        last = torch.where(valid, own, torch.inf).amin(1, keepdim=True)
        return valid.any(1) & ((scores > last).sum(1) < self.k)

    def _own(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the scores of the goal's items, and a mask that is False at padding.

        Returns:
            The scores and the mask, [B, H] each. At padding, the scores are arbitrary.
        """
        return scores.gather(1, self.items.clamp_min(0)), self.items >= 0

    def _others(self, scores: Tensor) -> Tensor:
        """Returns ``scores`` with −inf at the items of the goal."""
        valid = self.items >= 0
        holders = torch.zeros_like(scores, dtype=torch.bool)
        row = torch.arange(len(scores), device=scores.device).unsqueeze(1).expand_as(self.items)
        holders[row[valid], self.items[valid]] = True
        return scores.masked_fill(holders, -torch.inf)

    def _own_and_best(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the scores of the goal's items and of the k best rivals.

        Returns:
            The scores [B, H], which are arbitrary at padding, and the scores [B, at most k], best first.
        """
        items = self.items.clamp_min(0)
        enough = scores.shape[1] >= self.k + items.shape[1]
        if enough and (scores.shape[1] >= MANY or not scores.requires_grad):
            # One gather of both needs only one array of the size of the scores in the backward pass.
            chosen = torch.cat([items, best_rivals(scores.detach(), self.items, self.k)], 1)
            own, best = scores.gather(1, chosen).split_with_sizes([items.shape[1], self.k], dim=1)
            return own, best
        best = self._others(scores).topk(min(self.k, scores.shape[1]), dim=1).values
        return scores.gather(1, items), best

    def _margin(self, scores: Tensor, valid: Tensor, rival: Tensor | None) -> Tensor:
        if rival is not None and self.name == "untargeted":
            own, last = self._own(scores)[0], scores.gather(1, rival.unsqueeze(1)).squeeze(1)
            return last - torch.where(valid, own, -torch.inf).amax(1)
        own, best = self._own_and_best(scores)
        if self.name == "untargeted":
            return best[:, -1] - torch.where(valid, own, -torch.inf).amax(1)
        place = (self.k - valid.sum(1)).clamp(0, best.shape[1] - 1)
        edge = best.gather(1, place.unsqueeze(1)).squeeze(1)
        return torch.where(valid.any(1), torch.where(valid, own, torch.inf).amin(1) - edge, 0.0)
