"""Measures a model on the validation items of the real users."""

from __future__ import annotations

import math

import numpy as np
import torch

from robench.api.data import IntArray, Interactions, TrainData, joined
from robench.api.models.base import Model
from robench.api.rng import Rng
from robench.engine.fit.limits import VALIDATION_USERS
from robench.engine.rank.chunk import build_chunk, chunk_size, split_users
from robench.engine.rank.ranking import discount
from robench.engine.rank.scoring import device_of, rank_scores, score_users


def validation_users(data: TrainData, most: int | None = VALIDATION_USERS) -> tuple[Interactions, IntArray]:
    """Returns the histories of the real users, and the users to validate on.

    A history consists of the training items, or of the known items if the user is cold. Users without a history or
    without validation items are left out.

    Args:
        data: the data of the fit.
        most: the maximum number of users to validate on, or None for all users. If there are more users, the same
            sample is drawn for every victim.

    Returns:
        The histories, one row per real user, and the users to validate on, int64, sorted.
    """
    real = Interactions(
        data.train.indptr[: data.n_real_users + 1],
        data.train.items[: data.train.indptr[data.n_real_users]],
        data.train.times[: data.train.indptr[data.n_real_users]],
        data.n_items,
    )
    if data.known is not None:
        real = joined(real, data.known)
    users = np.flatnonzero((data.validation.lengths() > 0) & (real.lengths() > 0)).astype(np.int64)
    if most is not None and len(users) > most:
        users = np.sort(Rng(0).child("validation").numpy().choice(users, most, replace=False))
    return real, users


def validation_ndcg(model: Model, data: TrainData, k: int = 10, most: int | None = None) -> float:
    """Returns the NDCG@k of the validation items, with the histories masked.

    A user whose validation items cannot be among the first k counts as 0 and is not scored.

    Args:
        model: the model, in evaluation mode if it is neural.
        data: the data of the fit.
        k: the cutoff.
        most: the maximum number of users to validate on, or None for all users. If there are more users, the same
            sample is drawn for every victim.

    Returns:
        The mean over the users to validate on, or NaN if there are no such users.
    """
    real, users = validation_users(data, most)
    total = 0.0
    reached = _reachable(model, users, real, data.validation, k)
    for some in split_users(reached, chunk_size(data.n_items, device_of(model))):
        chunk = build_chunk(some, real, data.validation)
        ranks = rank_scores(score_users(model, some, real), chunk, count=0).ranks
        gain = torch.where((ranks > 0) & (ranks <= k), discount(ranks), 0.0).sum(1)
        ideal = torch.cumsum(1 / torch.log2(torch.arange(2, k + 2).double()), 0)
        total += float((gain / ideal[(ranks > 0).sum(1).clamp_max(k) - 1]).sum())
    return total / len(users) if len(users) else math.nan


def _reachable(model: Model, users: IntArray, history: Interactions, held: Interactions, k: int) -> IntArray:
    """Returns the users with a held-out item that can be among the first k.

    A model that reranks candidates ranks every other item below them. A user with at least k candidates, none of which
    is held out, therefore has an NDCG@k of 0. These users are left out. The model itself never sees a held-out item.

    Args:
        model: the model.
        users: the users, int64 [B].
        history: the history of each real user, which is masked.
        held: the held-out items of each real user.
        k: the cutoff.
    """
    candidates = model.candidates(users, history) if len(users) else None
    if candidates is None:
        return users
    keys = users[:, None] * history.n_items + candidates
    shown = (candidates >= 0) & ~np.isin(keys, history.keys)
    reachable: IntArray = users[(shown & np.isin(keys, held.keys)).any(1) | (shown.sum(1) < k)]
    return reachable
