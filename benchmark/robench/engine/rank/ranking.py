"""Full ranking over the catalogue: masks from CSR rows, ranks by counting, top lists by block maxima (design A6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robench.api.data import IntArray, Interactions
from robench.api.errors import PluginError

TOP = 10
# Scores per chunk: 24 MiB of float32, which stay in a shared cache and below what malloc maps and unmaps every time.
CHUNK_SCORES = 6 << 20
CACHED = 1 << 17  # scores of the rows that are looked at together (512 KiB): half of a core's own cache
COUNTED = 32  # held-out items per user from which on sorting the row is cheaper than counting for each
NOT_FINITE = "the model gave a score that is not finite"
Scores = NDArray[np.floating[Any]]


def chunk_size(n_items: int) -> int:
    """Users per chunk: a power of two from 32 to 1024, fixed by the data, so numbers never depend on the machine."""
    return int(min(1024, max(32, 1 << (max(1, CHUNK_SCORES // n_items).bit_length() - 1))))


def of_catalogue(scores: Any, users: int, n_items: int) -> Scores:
    """``scores`` as they are, which a model has given for some users.

    Raises:
        PluginError: they are not a numpy array of real numbers, [users, n_items].
    """
    if not isinstance(scores, np.ndarray) or not np.issubdtype(scores.dtype, np.floating):
        kind = f"an array of {scores.dtype}" if isinstance(scores, np.ndarray) else f"a {type(scores).__name__}"
        raise PluginError(f"scores are {kind}, not a numpy array of float32")
    if scores.shape != (users, n_items):
        raise PluginError(f"scores have shape {scores.shape}, not {(users, n_items)}")
    return scores


def block_size(n_items: int) -> int:
    """Items per block when a top list is looked for."""
    return 64 if n_items >= 4096 else 16


@dataclass(frozen=True, eq=False)
class EvaluationChunk:
    """What is asked of a model for a chunk of users: which items are masked, which are held out.

    Args:
        users: int64 [B].
        masked: (row, item) int64 [m] each, the known items of each user.
        held: int64 [B, H] held-out items, padded with −1.
        negatives: int64 [B, H] an item beside each of them whose score is kept too, −1 for none; None keeps no scores.
    """

    users: Tensor
    masked: tuple[Tensor, Tensor]
    held: Tensor
    negatives: Tensor | None = None

    def to(self, device: torch.device) -> EvaluationChunk:
        """On another device."""
        if self.users.device == device:
            return self
        row, item = self.masked
        negatives = None if self.negatives is None else self.negatives.to(device)
        return EvaluationChunk(
            self.users.to(device), (row.to(device), item.to(device)), self.held.to(device), negatives
        )


def entries_of(rows: Interactions, users: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """The entries of some rows, flat: (position in ``users``, place in the row, item), int64 [m] each."""
    lengths = rows.indptr[users + 1] - rows.indptr[users]
    position = np.repeat(np.arange(len(users), dtype=np.int64), lengths)
    place = np.arange(int(lengths.sum()), dtype=np.int64) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return position, place, rows.items[rows.indptr[users][position] + place]


def evaluation_chunk(
    users: IntArray, history: Interactions, held: Interactions, negatives: IntArray | None = None
) -> EvaluationChunk:
    """The questions for ``users`` (int64 [B]): known items masked, held-out items never.

    Args:
        negatives: int64, an item beside each of ``held.items``, −1 for none.
    """
    row, _, item = entries_of(history, users)
    position, place, target = entries_of(held, users)
    padded = np.full((len(users), int(place.max(initial=0)) + 1), -1, dtype=np.int64)
    padded[position, place] = target
    # Each known pair leaves its number behind: of a repeated one the last, and a held-out one is overwritten.
    flat, number = row * history.n_items + item, np.arange(len(row))
    seen = np.empty(len(users) * history.n_items, dtype=np.int32)
    seen[flat] = number
    seen[position * history.n_items + target] = -1
    kept = seen[flat] == number
    mask = (torch.from_numpy(row[kept]), torch.from_numpy(item[kept]))
    asked = EvaluationChunk(torch.from_numpy(np.array(users, dtype=np.int64)), mask, torch.from_numpy(padded))
    if negatives is None:
        return asked
    beside = np.full_like(padded, -1)
    beside[position, place] = negatives[held.indptr[users][position] + place]
    return replace(asked, negatives=torch.from_numpy(beside))


def mask_known(scores: Tensor, chunk: EvaluationChunk) -> Tensor:
    """``scores`` [B, n_items] with −inf at the known items; differentiable.

    Raises:
        PluginError: a score is not finite.
    """
    found = scores.detach()
    # A sum is finite only if every term is, and costs a twentieth of a look at every score; it may also overflow.
    if not bool(torch.isfinite(found.sum(1)).all()) and not bool(torch.isfinite(found).all()):
        raise PluginError(NOT_FINITE)
    return scores.index_put(chunk.masked, scores.new_tensor(-torch.inf))


def _at_least(row: Scores, own: Scores, reached: NDArray[np.bool_]) -> list[int]:
    """How many scores of ``row`` [n_items] reach each of ``own`` [h]; ``reached`` [n_items] is overwritten."""
    if len(own) > COUNTED:
        found: list[int] = (len(row) - np.searchsorted(np.sort(row), own)).tolist()
        return found
    # A contiguous comparison and numpy's count: about 4 µs for 40,000 scores.
    return [int(np.count_nonzero(np.greater_equal(row, score, reached))) for score in own]


def _above(row: Scores, targets: IntArray, above: NDArray[np.bool_]) -> list[int]:
    """Rank of each target in ``row`` [n_items], 0 where it is masked; ``above`` [n_items] is overwritten."""
    own = row[targets]
    return [int(s > -np.inf) and 1 + int(np.count_nonzero(np.greater(row, s, above))) for s in own]


def _settled(at_least: Tensor, own: Tensor, held: Tensor) -> Tensor:
    """Ranks out of #(score ≥ s_y), int64 [B, H]: an equal held-out item of a larger id (or y itself) does not count."""
    valid = held >= 0
    if held.shape[1] == 1:
        return torch.where(valid, at_least, 0)
    tied = (own[:, :, None] == own[:, None, :]) & valid[:, None, :] & (held[:, None, :] >= held[:, :, None])
    return torch.where(valid, 1 + at_least - tied.sum(2), 0)


def held_out_ranks(scores: Tensor, held: Tensor) -> Tensor:
    """Rank of each held-out item: 1 + #(score > s_y) + #(equal, not held out) + #(equal, held out, smaller id).

    Ties so never help the defender.

    Args:
        scores: [B, n_items], −inf where masked.
        held: int64 [B, H], padded with −1.

    Returns:
        int64 [B, H], 0 at the padding.
    """
    own = torch.where(held >= 0, scores.gather(1, held.clamp_min(0)), torch.inf)
    if scores.device.type == "cpu":
        reached = np.empty(scores.shape[1], dtype=np.bool_)
        counts = [_at_least(*pair, reached) for pair in zip(scores.numpy(), own.numpy(), strict=True)]
        at_least = torch.tensor(counts, dtype=torch.int64).reshape(held.shape)
    else:
        at_least = torch.stack([(scores >= own[:, h : h + 1]).sum(1) for h in range(held.shape[1])], 1)
    return _settled(at_least, own, held)


@dataclass(frozen=True, eq=False)
class Ranking:
    """How the items of a chunk of users stand.

    Args:
        ranks: int64 [B, H], see ``held_out_ranks``.
        top: int64 [B, count] best unmasked items, ties by smaller id, padded with −1.
        targets: int64 [T, B] ranks of promoted items, 1 + #(score > s_t); 0 where the item is in the user's data,
            known or held out.
        pairs: float32 [2, B, H] scores of the held-out items and of the negatives beside them, NaN at the padding; None
            where no negatives are asked for.
    """

    ranks: Tensor
    top: IntArray
    targets: IntArray
    pairs: Scores | None = None


def judge(
    scores: Scores, chunk: EvaluationChunk, targets: IntArray | None = None, *, count: int = TOP, masked: bool = False
) -> Ranking:
    """Mask and rank. A few rows at a time go through everything while a core's cache holds them.

    Args:
        scores: [B, n_items]; masked in place meanwhile.
        questions: of these users, on the CPU.
        targets: int64 [T] promoted items.
        count: length of the top list.
        masked: the scores come out of ``mask_known``.

    Raises:
        PluginError: a score is not finite.
    """
    scores = np.require(scores, requirements=["C", "W"])
    users, n_items = scores.shape
    row, item = (part.numpy() for part in chunk.masked)
    flat, place, ends = scores.reshape(-1), row * n_items + item, np.searchsorted(row, np.arange(users + 1))
    kept = flat[place]
    held, table = chunk.held, torch.from_numpy(scores)
    own = torch.where(held >= 0, table.gather(1, held.clamp_min(0)), torch.inf)
    wanted = np.empty(0, dtype=np.int64) if targets is None else targets
    above = np.zeros((users, len(wanted)), dtype=np.int64)
    at_least, sums, maxima = [], [table.new_zeros(0)], []
    reached, step = np.empty(n_items, dtype=np.bool_), max(1, CACHED // n_items)
    thresholds = list(own.numpy())
    for start in range(0, users, step):
        stop = min(start + step, users)
        part = table[start:stop]
        if not masked:
            sums.append(part.sum(1))
            flat[place[ends[start] : ends[stop]]] = -np.inf
        if count:
            maxima.append(maxima_of(part))
        for user in range(start, stop):
            at_least.append(_at_least(scores[user], thresholds[user], reached))
            if len(wanted):
                above[user] = _above(scores[user], wanted, reached)
    above[(held.numpy()[:, :, None] == wanted).any(1)] = 0
    top = top_items(scores, count, torch.cat(maxima).numpy()) if count else np.empty((users, 0), dtype=np.int64)
    pairs = None if chunk.negatives is None else pair_scores(scores, held.numpy(), chunk.negatives.numpy())
    flat[place] = kept  # the model may keep the array
    if not bool(torch.isfinite(torch.cat(sums)).all()) and not np.isfinite(scores).all():
        raise PluginError(NOT_FINITE)
    return Ranking(_settled(torch.tensor(at_least), own, held), top, above.T, pairs)


def pair_scores(scores: Scores, held: IntArray, negatives: IntArray) -> Scores:
    """Scores of held-out items and of the negatives beside them: float32 [2, B, H], NaN where an item is −1."""
    places = np.stack([held, negatives])
    found = np.take_along_axis(scores[None], np.maximum(places, 0), axis=2).astype(np.float32)
    return np.where(places >= 0, found, np.float32(np.nan))


def maxima_of(scores: Tensor) -> Tensor:
    """The best score of every whole block of items: [B, n_items] -> [B, n_items // block], the blocks by position."""
    n_items = scores.shape[1]
    block = block_size(n_items)
    return scores[:, : n_items // block * block].reshape(scores.shape[0], n_items // block, block).amax(2)


def top_items(scores: Scores, count: int = TOP, maxima: Scores | None = None) -> IntArray:
    """The best unmasked items, ties by smaller id: int64 [B, count], padded with −1.

    The ``count`` blocks of the largest maxima (ties by smaller id), and the items beyond the last whole block, hold
    the list; the smallest of these maxima bounds its scores from below.

    Args:
        scores: [B, n_items], −inf where masked.
        count: length of the list.
        maxima: ``maxima_of`` these scores where they are known already.
    """
    if maxima is None:
        maxima = maxima_of(torch.from_numpy(scores)).numpy()
    (users, whole), block = maxima.shape, block_size(scores.shape[1])
    parts = scores[:, : whole * block].reshape(users, whole, block)
    edge = np.full((users, 1), -np.inf, dtype=scores.dtype)
    if whole >= count:
        edge = np.partition(maxima, whole - count, axis=1)[:, whole - count, None]
    row, which = np.divmod(_reaching(maxima, edge, count), max(1, whole))
    place, offset = np.divmod(np.flatnonzero(parts[row, which] >= edge[row]), block)
    last, beyond = np.nonzero(scores[:, whole * block :] >= edge)
    user = np.concatenate([row[place], last])
    item = np.concatenate([which[place] * block + offset, whole * block + beyond])
    score = scores[user, item]
    order = np.lexsort((item, -score, user))
    user, item, score = user[order], item[order], score[order]
    rank = np.arange(len(user)) - np.searchsorted(user, np.arange(users))[user]
    listed = (rank < count) & (score > -np.inf)
    top = np.full((users, count), -1, dtype=np.int64)
    top[user[listed], rank[listed]] = item[listed]
    return top


def _reaching(maxima: Scores, edge: Scores, count: int) -> IntArray:
    """Flat places of the blocks that reach the edge [B, 1]; of those that equal it, the first ``count`` of a row."""
    found = np.flatnonzero(maxima >= edge)
    if len(found) <= len(maxima) * count:
        return found
    equal = maxima == edge
    return np.flatnonzero((maxima > edge) | (equal & (np.cumsum(equal, axis=1) <= count)))


def candidates(chunk: EvaluationChunk, n_items: int) -> IntArray:
    """Unmasked items of each user: int64 [B]."""
    masked = torch.bincount(chunk.masked[0], minlength=len(chunk.users))
    result: NDArray[np.int64] = (n_items - masked).cpu().numpy()
    return result


def restricted(chunk: EvaluationChunk, chosen: Tensor) -> EvaluationChunk:
    """The questions of some rows (int64 [b])."""
    row, item = chunk.masked
    place = torch.full((len(chunk.users),), -1, device=chosen.device)
    place[chosen] = torch.arange(len(chosen), device=chosen.device)
    kept = place[row] >= 0
    negatives = None if chunk.negatives is None else chunk.negatives[chosen]
    return EvaluationChunk(chunk.users[chosen], (place[row][kept], item[kept]), chunk.held[chosen], negatives)
