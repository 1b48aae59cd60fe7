"""Computes the losses of attacks from masked scores.

``Goal.loss`` chooses among these losses. Let s_y be the score of an item y of the goal, and s_j the score of a rival j.
The rivals are the unmasked items outside the goal. All losses are differentiable with respect to the scores.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus

from robench.api.attacks.base import OwnLoss
from robench.api.errors import PluginError

SMOOTHNESS = 0.1  # the width of the step in a smooth rank, as a share of the spread of the best rivals
TINY = 1e-12  # the smallest width


def pair_losses(own: Tensor, valid: Tensor, rivals: Tensor) -> Tensor:
    """Returns the loss ``bpr`` of an untargeted attack, float [B].

    If items are promoted, the caller reverses the sign. The loss is the mean of softplus(s_j − s_y) over all pairs of
    an item y of the goal and a rival j. Here s_y and s_j are the scores of these items.

    Args:
        own: the scores of the goal's items, float [B, H].
        valid: False at padding of ``own``, bool [B, H].
        rivals: the scores of the rivals, float [B, n_items], with −inf at all other items.
    """
    free = rivals > -torch.inf
    value = torch.zeros_like(own[:, 0])
    for h in range(own.shape[1]):
        gap = torch.where(free, rivals, 0.0) - own[:, h : h + 1]
        mean = torch.where(free, softplus(gap), 0.0).sum(1) / free.sum(1).clamp_min(1)
        value = value + torch.where(valid[:, h], mean, 0.0)
    return value / valid.sum(1).clamp_min(1)


def hinge_losses(own: Tensor, valid: Tensor, best: Tensor, sign: int) -> Tensor:
    """Returns the loss ``hinge``, float [B], which is at most 0.

    Let y be an item of the goal with the score s_y, and j a rival with the score s_j. If ``sign`` is 1, the loss is −Σ
    max(0, s_y − s_j) over the k best rivals j, averaged over y. The loss is 0 if every y is below all of these rivals.
    The loss already rises if y loses a place within the top k. If ``sign`` is −1, s_j − s_y takes the place of s_y −
    s_j.

    Args:
        own: the scores of the goal's items, float [B, H].
        valid: False at padding of ``own``, bool [B, H].
        best: the scores of the k best rivals, float [B, k], with −inf at missing rivals.
        sign: 1 to push the goal's items below the rivals, or −1 to push them above the rivals.
    """
    there = best > -torch.inf
    gaps = own[:, :, None] - torch.where(there, best, 0.0)[:, None]
    missed = torch.where(there[:, None], (sign * gaps).clamp_min(0), 0.0).sum(2)
    return -torch.where(valid, missed, 0.0).sum(1) / valid.sum(1).clamp_min(1)


def smooth_ndcg(own: Tensor, valid: Tensor, rivals: Tensor, best: Tensor) -> Tensor:
    """Returns a smooth NDCG, float [B].

    Let y be an item of the goal with the score s_y, and j a rival with the score s_j. The smooth rank of y is r = 1 + Σ
    σ((s_j − s_y) / τ), with the sum over all rivals j. Here σ is the logistic function. The width τ is a tenth of the
    standard deviation of the best rivals' scores. Therefore, the result does not depend on the scale of the scores. The
    result is the mean of 1 / log2(1 + r) over all y.

    Args:
        own: the scores of the goal's items, float [B, H].
        valid: False at padding of ``own``, bool [B, H].
        rivals: the scores of the rivals, float [B, n_items], with −inf at all other items.
        best: the scores of the best rivals, float [B, k], with −inf at missing rivals.
    """
    there = torch.where(best > -torch.inf, best, best[:, :1]).detach()
    width = (SMOOTHNESS * there.std(1, correction=0)).nan_to_num(0.0).clamp_min(TINY)[:, None]
    value = torch.zeros_like(own[:, 0])
    for h in range(own.shape[1]):
        rank = 1 + torch.sigmoid((rivals - own[:, h : h + 1]) / width).sum(1)
        value = value + torch.where(valid[:, h], 1 / torch.log2(1 + rank), 0.0)
    return value / valid.sum(1).clamp_min(1)


def own_losses(loss: OwnLoss, scores: Tensor, items: Tensor) -> Tensor:
    """Returns the values of an attack's own loss, float [B].

    The function gets a copy of the items, so it cannot change the goal.

    Args:
        loss: the attack's function.
        scores: the masked scores, float [B, n_items].
        items: the items of the goal, int64 [B, H], padded with −1.

    Raises:
        PluginError: if the function does not return one finite number per user.
    """
    value: object = loss(scores, items.clone())
    rows = len(scores)
    if not isinstance(value, Tensor) or value.shape != (rows,) or not value.is_floating_point():
        kind = f"{value.dtype} {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise PluginError(f"the attack's own loss gave {kind}, not a float tensor [{rows}] with one value per user")
    if not bool(torch.isfinite(value.detach()).all()):
        raise PluginError("the attack's own loss gave a value that is not finite; known items have the score -inf")
    return value
