"""Collects the votes of base models, from which the host computes a certificate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.data import IntArray, Interactions
from robench.api.errors import PluginError
from robench.api.models.base import Model
from robench.api.models.votes import Votes
from robench.engine.rank.chunk import EvaluationChunk
from robench.store.certificate import LENGTH, Voting


def collect_votes(
    model: Model, chunks: Sequence[EvaluationChunk], history: Interactions, top: IntArray, trained: int
) -> tuple[dict[str, NDArray[Any]], Voting] | None:
    """Returns the votes that a certificate needs.

    The result is None if the model takes no votes.

    Args:
        model: the fitted model.
        chunks: the evaluated users.
        history: the items that are known at test time, one row per real user.
        top: the best items of each evaluated user, int64 [U, ``LENGTH``], or −1 where a list ends.
        trained: the number of users with training items.

    Returns:
        The arrays ``item_votes`` and ``other_votes`` of ``measure_certificate``, and how the base models vote.

    Raises:
        PluginError: if the votes are impossible, or if they do not order the lists of the model.
    """
    items: list[IntArray] = []
    others: list[IntArray] = []
    votings: set[Voting] = set()
    done = 0
    for chunk in chunks:
        users = chunk.users.cpu().numpy()
        votes = model.votes(users, history)
        if votes is None:
            return None
        _check(votes, len(users), history.n_items, trained)
        row, known = (part.cpu().numpy() for part in chunk.masked)
        counts = votes.counts.astype(np.int64)
        counts[row, known] = -1
        _check_lists(counts, top[done : done + len(users)])
        done += len(users)
        held = chunk.held.cpu().numpy()
        place, column = np.nonzero(held >= 0)
        item = held[place, column]
        first = np.unique(place * history.n_items + item, return_index=True)[1]
        own = np.zeros(len(item), dtype=np.int64)  # an item that is held out twice is in the list only once
        own[first] = np.maximum(counts[place, item], 0)[first]
        items.append(own)
        counts[place, item] = -1
        others.append(_largest(counts))
        votings.add(Voting(votes.models, votes.sample, votes.users, votes.each, len(top) * counts.shape[1]))
    if len(votings) != 1:
        raise PluginError("votes() does not describe the same base models for all users")
    arrays = {
        "item_votes": np.concatenate(items).astype(np.int32),
        "other_votes": np.concatenate(others).astype(np.int32),
    }
    return arrays, votings.pop()


def _largest(counts: IntArray) -> IntArray:
    """Returns the largest counts of each row, int64 [B, ``LENGTH``].

    They are sorted from high to low. Missing counts are 0.
    """
    largest = np.zeros((len(counts), LENGTH), dtype=np.int64)
    best = -np.sort(-counts, axis=1)[:, :LENGTH]
    largest[:, : best.shape[1]] = np.maximum(best, 0)
    return largest


def _check(votes: Votes, users: int, n_items: int, trained: int) -> None:
    """Checks that votes are possible.

    Raises:
        PluginError: if the votes are impossible.
    """
    counts = votes.counts
    if not isinstance(counts, np.ndarray) or counts.dtype.kind not in "iu" or counts.shape != (users, n_items):
        raise PluginError(f"votes() must count the votes of {users} users for {n_items} items, as whole numbers")
    if votes.users != trained:
        raise PluginError(f"votes() says that samples are drawn from {votes.users} users, but {trained} have items")
    if votes.models < 1 or votes.each < 1 or not 1 <= votes.sample <= votes.users:
        raise PluginError("votes() describes impossible numbers of base models, users or items")
    if users and (counts.min() < 0 or counts.max() > votes.models):
        raise PluginError(f"votes() counts votes that {votes.models} base models cannot give")
    if (counts.sum(axis=1) > votes.models * votes.each).any():
        raise PluginError(f"votes() counts more than {votes.each} items per base model")


def _check_lists(counts: IntArray, top: IntArray) -> None:
    """Checks that no item outside a list has more votes than one in the list.

    Args:
        counts: the votes for each item, or −1 for known items, int64 [B, n_items].
        top: the best items of each user, int64 [B, ``LENGTH``], or −1 where a list ends.

    Raises:
        PluginError: if there is such an item.
    """
    listed = np.where(top >= 0, np.take_along_axis(counts, np.maximum(top, 0), axis=1), 0)
    if not np.array_equal(-np.sort(-np.maximum(listed, 0), axis=1), _largest(counts)):
        raise PluginError("votes() counts more votes for an item outside a list than for one in it")
