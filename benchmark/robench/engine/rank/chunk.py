"""Builds chunks of evaluated users, with masked items and held-out items.

Measurements, attacks and validation compute scores for one chunk at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robench.api.data import IntArray, Interactions
from robench.api.errors import PluginError

# The largest number of scores per chunk. These are 24 MiB of float32, which fit in a shared cache. malloc maps and
# unmaps memory on every call only for larger arrays.
CHUNK_SCORES = 6 << 20
# The scores of a chunk take at most 1 / GPU_SHARE of a GPU's memory, because a step holds about 16 arrays of this size
# and 8 workers may share the GPU.
GPU_SHARE = 256
# The fewest users whose scores are computed together on a CPU. For fewer rows, the library computes matrix products by
# other kernels, which round differently. With at least this number, a user's scores do not depend on the other users.
FEWEST = 4
NOT_FINITE = "the model gave a score that is not finite"
Scores = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class EvaluationChunk:
    """A chunk of evaluated users, with their masked items and held-out items.

    Args:
        users: the ids of the users, int64 [B].
        masked: the masked pairs of a user and a known item, as positions in ``users`` and as items, int64 [m] each.
        held: the held-out items, int64 [B, H], padded with −1.
        negatives: one negative per held-out item, int64 [B, H], or −1 if the user has no unseen item. If negatives are
            given, their scores and those of the held-out items are stored. None means that no scores are stored.
    """

    users: Tensor
    masked: tuple[Tensor, Tensor]
    held: Tensor
    negatives: Tensor | None = None

    def to(self, device: torch.device) -> EvaluationChunk:
        """Returns the chunk with all tensors on a device."""
        if self.users.device == device:
            return self
        row, item = self.masked
        negatives = None if self.negatives is None else self.negatives.to(device)
        return EvaluationChunk(
            self.users.to(device), (row.to(device), item.to(device)), self.held.to(device), negatives
        )

    def rows(self, chosen: Tensor) -> EvaluationChunk:
        """Returns a chunk with only the users at some positions (int64 [b])."""
        row, item = self.masked
        position = torch.full((len(self.users),), -1, device=chosen.device)
        position[chosen] = torch.arange(len(chosen), device=chosen.device)
        inside = position[row] >= 0
        negatives = None if self.negatives is None else self.negatives[chosen]
        return EvaluationChunk(self.users[chosen], (position[row][inside], item[inside]), self.held[chosen], negatives)


def join_evaluation_chunks(parts: Sequence[EvaluationChunk]) -> EvaluationChunk:
    """Returns a chunk with the users of several chunks, in order.

    The chunks must have the same width of ``held``, and either all or none of them have negatives.
    """
    starts = accumulate((len(part.users) for part in parts), initial=0)
    row = torch.cat([part.masked[0] + start for part, start in zip(parts, starts, strict=False)])
    negatives = [part.negatives for part in parts if part.negatives is not None]
    return EvaluationChunk(
        torch.cat([part.users for part in parts]),
        (row, torch.cat([part.masked[1] for part in parts])),
        torch.cat([part.held for part in parts]),
        torch.cat(negatives) if negatives else None,
    )


def chunk_size(n_items: int, device: torch.device | None = None) -> int:
    """Returns the number of users per chunk, which is a power of two.

    On a CPU, the number is from 32 to 1024 and depends only on the size of the catalogue. Therefore, results do not
    depend on the machine. On a GPU, the number may reach 4096 and also depends on the total memory of the device. Free
    memory does not matter, because other processes change it.

    Args:
        n_items: the size of the catalogue.
        device: the device of the model. The default is the CPU.
    """
    scores, most = CHUNK_SCORES, 1024
    if device is not None and device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        scores, most = max(scores, total // GPU_SHARE // 4), 4096
    return int(min(most, max(32, 1 << (max(1, scores // n_items).bit_length() - 1))))


def split_users(users: IntArray, size: int) -> list[IntArray]:
    """Splits users into chunks of ``size`` users, in order.

    If fewer than ``FEWEST`` users remain for the last chunk, the chunk before it gives up some of its users.

    Args:
        users: the ids of the users, int64 [U].
        size: the size of a chunk, at least 2 · ``FEWEST``.

    Returns:
        The users of each chunk, or an empty list if there are no users.
    """
    ends = list(range(size, len(users), size))
    if ends:
        ends[-1] = min(ends[-1], len(users) - FEWEST)
    return np.split(users, ends) if len(users) else []


def build_chunk(
    users: IntArray, history: Interactions, held: Interactions, negatives: IntArray | None = None
) -> EvaluationChunk:
    """Builds a chunk of users.

    Known items are masked, unless they are held out.

    Args:
        users: the ids of the users, which are rows of ``history`` and ``held``, int64 [B].
        history: the known items, one row per real user.
        held: the held-out items, one row per real user.
        negatives: one negative per entry of ``held.items``, int64, or −1 if the user has no unseen item. None means
            that the chunk has no negatives.
    """
    row, _, item = flatten_rows(history, users)
    position, place, target = flatten_rows(held, users)
    padded = np.full((len(users), int(place.max(initial=0)) + 1), -1, dtype=np.int64)
    padded[position, place] = target
    # A known pair is masked once, even if it is repeated. Held-out pairs are not masked.
    cells = np.sort(row * history.n_items + item)
    masked = np.ones(len(cells), dtype=np.bool_)
    masked[1:] = cells[1:] != cells[:-1]
    held_cells = position * history.n_items + target
    first = np.searchsorted(cells, held_cells)
    known = first < len(cells)
    known[known] = cells[first[known]] == held_cells[known]
    masked[first[known]] = False
    mask_row = row[masked]  # sorting moves no cell to another row
    mask = torch.from_numpy(mask_row), torch.from_numpy(cells[masked] - mask_row * history.n_items)
    chunk = EvaluationChunk(torch.from_numpy(np.array(users, dtype=np.int64)), mask, torch.from_numpy(padded))
    if negatives is None:
        return chunk
    paired = np.full_like(padded, -1)
    paired[position, place] = negatives[held.indptr[users][position] + place]
    return replace(chunk, negatives=torch.from_numpy(paired))


def flatten_rows(rows: Interactions, users: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Returns the entries of some users' rows as three flat arrays.

    Returns:
        For each entry, the position of the user in ``users``, the position of the item in the row, and the item, int64
        [m] each.
    """
    lengths = rows.indptr[users + 1] - rows.indptr[users]
    position = np.repeat(np.arange(len(users), dtype=np.int64), lengths)
    place = np.arange(len(position), dtype=np.int64)
    place -= np.repeat(np.cumsum(lengths) - lengths, lengths)
    return position, place, rows.items[np.repeat(rows.indptr[users], lengths) + place]


def check_scores(scores: Any, users: int, n_items: int) -> Scores:
    """Checks the type and the shape of scores, and returns the scores unchanged.

    Raises:
        PluginError: if the scores are not a floating-point numpy array with the shape [users, n_items].
    """
    if not isinstance(scores, np.ndarray) or not np.issubdtype(scores.dtype, np.floating):
        kind = f"an array of {scores.dtype}" if isinstance(scores, np.ndarray) else f"a {type(scores).__name__}"
        raise PluginError(f"scores are {kind}, not a numpy array of float32")
    if scores.shape != (users, n_items):
        raise PluginError(f"scores have shape {scores.shape}, not {(users, n_items)}")
    return scores


def mask_known(scores: Tensor, chunk: EvaluationChunk) -> Tensor:
    """Returns ``scores`` [B, n_items] with −inf at the known items.

    The result is differentiable.

    Raises:
        PluginError: if a score is not finite.
    """
    plain = scores.detach()
    # A sum is finite only if every term is finite, and costs a twentieth of a check of every score. A sum may also
    # overflow, so only the full check raises.
    if not bool(torch.isfinite(plain.sum(1)).all()) and not bool(torch.isfinite(plain).all()):
        raise PluginError(NOT_FINITE)
    return scores.index_put(chunk.masked, scores.new_tensor(-torch.inf))


def count_candidates(chunk: EvaluationChunk, n_items: int) -> IntArray:
    """Returns the number of unmasked items of each user, int64 [B]."""
    return n_items - np.bincount(chunk.masked[0].cpu().numpy(), minlength=len(chunk.users))
