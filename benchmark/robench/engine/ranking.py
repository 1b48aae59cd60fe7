"""Full ranking over the catalogue: masks from CSR rows, ranks by counting (design A6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robench.api.data import IntArray, Interactions
from robench.api.errors import PluginError

TOP = 10


@dataclass(frozen=True, eq=False)
class Questions:
    """What is asked of a model for a chunk of users: which items are masked, which are held out.

    Args:
        users: int64 [B].
        masked: (row, item) int64 [m] each, the known items of each user.
        held: int64 [B, H] held-out items, padded with −1.
    """

    users: Tensor
    masked: tuple[Tensor, Tensor]
    held: Tensor

    def to(self, device: torch.device) -> Questions:
        """On another device."""
        if self.users.device == device:
            return self
        row, item = self.masked
        return Questions(self.users.to(device), (row.to(device), item.to(device)), self.held.to(device))


def entries_of(rows: Interactions, users: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """The entries of some rows, flat: (position in ``users``, place in the row, item), int64 [m] each."""
    lengths = rows.indptr[users + 1] - rows.indptr[users]
    position = np.repeat(np.arange(len(users), dtype=np.int64), lengths)
    place = np.arange(int(lengths.sum()), dtype=np.int64) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return position, place, rows.items[rows.indptr[users][position] + place]


def ask(users: IntArray, history: Interactions, held: Interactions) -> Questions:
    """The questions for ``users`` (int64 [B]): known items masked, held-out items never."""
    row, _, item = entries_of(history, users)
    position, place, target = entries_of(held, users)
    padded = np.full((len(users), int(place.max(initial=0)) + 1), -1, dtype=np.int64)
    padded[position, place] = target
    flat = np.unique(row * history.n_items + item)
    flat = np.setdiff1d(flat, position * history.n_items + target, assume_unique=True)
    mask = (torch.from_numpy(flat // history.n_items), torch.from_numpy(flat % history.n_items))
    return Questions(torch.from_numpy(np.array(users, dtype=np.int64)), mask, torch.from_numpy(padded))


def mask_known(scores: Tensor, questions: Questions) -> Tensor:
    """``scores`` [B, n_items] with −inf at the known items; differentiable.

    Raises:
        PluginError: a score is not finite.
    """
    if not bool(torch.isfinite(scores.detach()).all()):
        raise PluginError("the model gave a score that is not finite")
    return scores.index_put(questions.masked, scores.new_tensor(-torch.inf))


def held_out_ranks(scores: Tensor, held: Tensor) -> Tensor:
    """Rank of each held-out item: 1 + #(score > s_y) + #(equal, not held out) + #(equal, held out, smaller id).

    Ties so never help the defender.

    Args:
        scores: [B, n_items], −inf where masked.
        held: int64 [B, H], padded with −1.

    Returns:
        int64 [B, H], 0 at the padding.
    """
    valid = held >= 0
    ids = held.clamp_min(0)
    own = torch.where(valid, scores.gather(1, ids), torch.inf)
    columns = [(scores >= own[:, h : h + 1]).sum(1) for h in range(held.shape[1])]
    at_least = torch.stack(columns, 1)
    # Among the held-out items themselves an equal one with a larger id (or the item itself) does not count.
    tied = (own[:, :, None] == own[:, None, :]) & valid[:, None, :] & (ids[:, None, :] >= ids[:, :, None])
    return torch.where(valid, 1 + at_least - tied.sum(2), 0)


def target_ranks(scores: Tensor, targets: Tensor) -> Tensor:
    """Rank of promoted items: 1 + #(score > s_t); 0 where the user has the item already.

    Args:
        scores: [B, n_items], −inf where masked.
        targets: int64 [T].

    Returns:
        int64 [T, B].
    """
    own = scores[:, targets]
    ranks = torch.stack([1 + (scores > own[:, t : t + 1]).sum(1) for t in range(len(targets))])
    return torch.where(-torch.inf < own.T, ranks, 0)


def top_items(scores: Tensor, count: int = TOP) -> Tensor:
    """The best unmasked items, ties by smaller id: int64 [B, count], padded with −1."""
    n_items = scores.shape[1]
    value, item = scores.topk(min(count, n_items), dim=1)
    # topk leaves the order of ties open: sort the winners, and settle ties at the edge by smaller ids.
    edge = value[:, -1:]
    if bool(((scores >= edge).sum(1) > value.shape[1]).any()):
        order = torch.sort(scores, dim=1, descending=True, stable=True).indices[:, : value.shape[1]]
        value, item = scores.gather(1, order), order
    else:
        by_id = item.argsort(1)
        value, item = value.gather(1, by_id), item.gather(1, by_id)
        order = torch.sort(value, dim=1, descending=True, stable=True).indices
        value, item = value.gather(1, order), item.gather(1, order)
    item = torch.where(value > -torch.inf, item, -1)
    return torch.nn.functional.pad(item, (0, count - item.shape[1]), value=-1)


def candidates(questions: Questions, n_items: int) -> IntArray:
    """Unmasked items of each user: int64 [B]."""
    masked = torch.bincount(questions.masked[0], minlength=len(questions.users))
    result: NDArray[np.int64] = (n_items - masked).cpu().numpy()
    return result
