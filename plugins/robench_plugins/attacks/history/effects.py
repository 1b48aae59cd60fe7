"""Predicts the damage of edits from the effects of deletions and insertions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

ROUNDING = 1e-6  # scores that differ by less, as a share of the largest score, count as equal
BEST = 30  # the number of best rivals that decide between edits of equal damage
SMALL = 1e-7  # less than the difference that one rank makes, below rank 10,000


@dataclass(frozen=True, eq=False)
class Effects:
    """The changes that single edits make to one user's scores, and the attack's goal.

    If scores are a sum over the items of the history, the effects of a deletion and an insertion add up to the effect
    of a substitution. For any other model, the sum is an estimate.

    Args:
        deleting: the changes of the scores, float [R, n_items]. Row 0 stands for no deletion and is zero. Each of the
            other R − 1 rows belongs to the deletion of one item.
        inserting: the changes of the scores, float [M, n_items]. Row 0 stands for no insertion and is zero. Each of the
            other M − 1 rows belongs to the insertion of one item.
        goal: the items of the goal, int64 [any number].
        promotes: whether the attack raises the items of the goal. Otherwise, it lowers them.
    """

    deleting: Tensor
    inserting: Tensor
    goal: Tensor
    promotes: bool

    def best(self, scores: Tensor, possible: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Returns the edits with the highest predicted damage, the best one first.

        Args:
            scores: the masked scores of the history that is edited, float [n_items].
            possible: whether each pair of a deletion and an insertion may be made, bool [R, M].
            count: the maximum number of edits.

        Returns:
            The rows of ``deleting`` and of ``inserting``, int64 [at most count] each.
        """
        damage = self._damage(scores).masked_fill_(~possible, -torch.inf).flatten()
        best = damage.topk(min(count, int(possible.sum())))
        return best.indices // possible.shape[1], best.indices % possible.shape[1]

    def _damage(self, scores: Tensor) -> Tensor:
        """Returns the predicted damage of each pair of edits, float64 [R, M].

        A pair is a row of ``deleting`` and a row of ``inserting``. The damage is that of ``damage_of`` at the sum of
        ``scores`` and the two changes, except for the term that breaks ties. This term is smaller than the effect of
        one rank. It compares the score of the item with the mean score of the ``BEST`` best rivals.
        """
        free = torch.isfinite(scores)
        slack = ROUNDING * float(scores[free].abs().max()) * (1 if self.promotes else -1)
        damage = torch.zeros(len(self.deleting), len(self.inserting), dtype=torch.float64)
        for item in self.goal.tolist():
            gap, less, more = (part - part[..., item : item + 1] for part in (scores, self.deleting, self.inserting))
            rivals = free.clone()
            rivals[item] = False
            gain = 1 / torch.log2(2 + _count_ahead(gap, less, more, rivals, slack).double())
            best = gap.masked_fill(~rivals, -torch.inf).topk(min(BEST, int(rivals.sum()))).indices
            lead = (gap[best].mean() + less[:, best].mean(1))[:, None] + more[:, best].mean(1)
            lead = SMALL * (lead.double() / scores[free].std().clamp_min(1e-30)).clamp(-1, 1)
            damage += gain - lead if self.promotes else lead - gain
        return damage


def _count_ahead(gap: Tensor, less: Tensor, more: Tensor, rivals: Tensor, slack: float) -> Tensor:
    """Counts the rivals that are ahead of an item after each pair of edits.

    A pair is a deletion and an insertion.

    Args:
        gap: the scores of all items minus the score of this item, float [n_items].
        less: the change that each of R deletions makes to ``gap``, float [R, n_items].
        more: the change that each of M insertions makes to ``gap``, float [M, n_items].
        rivals: whether each item is a rival, bool [n_items].
        slack: the smallest gap of a rival that is ahead.

    Returns:
        The counts, float [R, M].
    """
    always = (gap + less.amin(0) + more.amin(0) >= slack) & rivals
    unclear = (gap + less.amax(0) + more.amax(0) >= slack) & rivals & ~always
    limits, own = slack - (gap + less)[:, unclear], more[:, unclear].contiguous()
    ahead = torch.empty_like(own)
    counts = torch.empty(len(less), len(more))
    for row, limit in enumerate(limits):
        torch.ge(own, limit, out=ahead)  # a sum of floats takes a third of the time of a sum of bools
        torch.sum(ahead, 1, out=counts[row])
    return counts + always.sum()


def damage_of(scores: Tensor, goal: Tensor, *, promotes: bool) -> Tensor:
    """Returns the damage of scores, float64 [B].

    The damage is minus the sum of 1 / log2(1 + rank) over the items of the goal, or plus this sum if the attack
    promotes. Rivals with the same score are ahead of an item, unless the attack promotes. If two results have equal
    ranks, the one that moves the log softmax of the items further towards the goal does more damage. For this, each
    item adds ±``SMALL`` · l / (1 + l), where l is minus the log softmax of the item.

    Args:
        scores: the masked scores, float [B, n_items].
        goal: the items of the goal, int64 [B, H], padded with −1.
        promotes: whether the attack raises the items of the goal. Otherwise, it lowers them.
    """
    damage = torch.zeros(len(scores), dtype=torch.float64)
    for item in goal.unbind(1):
        own = scores.gather(1, item.clamp_min(0).unsqueeze(1))
        ahead = (scores > own).sum(1) if promotes else (scores >= own).sum(1) - 1
        gain = torch.where(item >= 0, 1 / torch.log2(2 + ahead.double()), 0.0)
        loss = (scores.logsumexp(1) - own.squeeze(1)).double()
        lead = torch.where(item >= 0, SMALL * loss / (1 + loss), 0.0)
        damage += gain - lead if promotes else lead - gain
    return damage


def in_turn(pairs: list[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yields the first edit of each user, then the second one, and so on.

    Args:
        pairs: the deletion and the insertion of each edit, int64 [any number] each, per user.

    Yields:
        The users that have another edit, and the deletion and the insertion of this edit, int64 [b] each.
    """
    for place in range(max((len(deletion) for deletion, _ in pairs), default=0)):
        users = [user for user, (deletion, _) in enumerate(pairs) if place < len(deletion)]
        yield (
            torch.tensor(users),
            torch.stack([pairs[user][0][place] for user in users]),
            torch.stack([pairs[user][1][place] for user in users]),
        )
