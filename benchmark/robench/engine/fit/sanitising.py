"""Runs the cleaning step of a defence and checks the cleaned data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.data import FloatArray, IntArray, Interactions
from robench.api.defense import Cleaned, Defense
from robench.api.errors import PluginError
from robench.api.rng import Rng
from robench.store.detection import FLAGGED, NO_ITEMS, NOT_FLAGGED

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Sanitised:
    """Training data after the cleaning step of a defence.

    Args:
        train: the interactions that the defence has kept, with their own times. Row u still belongs to user u.
        suspicion: the suspicion score of each user, float64 [n_users]. A higher score means more suspicion.
        flagged: whether the defence has dropped all interactions of a user, int8 [n_users]. The value is 1 if it has, 0
            if it has not, and −1 if the user had no interactions.
    """

    train: Interactions
    suspicion: FloatArray
    flagged: NDArray[np.int8]


def sanitise(defense: Defense, train: Interactions, rng: Rng) -> Sanitised:
    """Runs the cleaning step of a defence.

    Only the interactions themselves may reveal a fake user. The host appends the rows of fake users at the end, with
    times after those of all real users. Therefore, the defence gets the rows in random order, with positions within the
    row in place of times. The order is drawn from the seed and from a digest of ``train`` in its own order. The defence
    knows the seed, but neither that order nor the times, so it cannot draw the order again.

    The result is in the order of ``train`` and has the times of ``train``. It is built from ``train``, so the kept
    interactions are the genuine ones, bit for bit.

    Args:
        defense: a defence that overrides ``Defense.sanitise``.
        train: the interactions of real and fake users.
        rng: the random stream of the victim.

    Raises:
        PluginError: if the defence adds, changes or moves an interaction, if it adds or removes a row, if it drops
            every interaction, or if there is not one finite suspicion score per user.
    """
    order = rng.child("sanitise-order", train.sha256()).numpy().permutation(train.n_users)
    seen = _without_times(train.rows_in(order))
    cleaned = defense.sanitise(seen, rng.child("sanitise"))
    if not isinstance(cleaned, Cleaned):
        raise PluginError(f"sanitise() returned {type(cleaned).__name__}, not Cleaned")
    shuffled = _checked_suspicion(cleaned.suspicion, train.n_users)
    kept = _kept_rows(seen, cleaned.train)
    by_user: list[BoolArray] = [np.empty(0, dtype=bool)] * train.n_users
    suspicion = np.empty(train.n_users)
    for place, user in enumerate(order.tolist()):
        by_user[user] = kept[place]
        suspicion[user] = shuffled[place]
    whole = np.concatenate([np.empty(0, dtype=bool), *by_user])
    if len(train) and not whole.any():
        raise PluginError("sanitise() dropped every interaction, so there is nothing to fit a model on")
    after = train if whole.all() else train.only(whole)
    flagged = np.where(after.lengths() > 0, NOT_FLAGGED, FLAGGED).astype(np.int8)
    flagged[train.lengths() == 0] = NO_ITEMS
    return Sanitised(after, suspicion, flagged)


def _without_times(rows: Interactions) -> Interactions:
    """Returns the same rows, with times replaced by positions within the row."""
    positions: IntArray = np.arange(len(rows), dtype=np.int64) - rows.indptr[rows.users()]
    return Interactions(rows.indptr, rows.items, positions, rows.n_items)


def _checked_suspicion(suspicion: Any, n_users: int) -> FloatArray:
    """Returns the suspicion scores as float64 [n_users], after checking them.

    Raises:
        PluginError: if there is not one finite number per user.
    """
    try:
        scores = np.asarray(suspicion)
    except ValueError:
        raise PluginError("sanitise() returned suspicion scores that are not one number per user") from None
    if scores.shape != (n_users,):
        raise PluginError(f"sanitise() returned suspicion scores of the shape {scores.shape} for {n_users} users")
    if scores.dtype.kind not in "fiub" or not np.isfinite(scores.astype(np.float64)).all():
        raise PluginError("sanitise() returned suspicion scores that are not finite numbers")
    return scores.astype(np.float64)


def _kept_rows(before: Interactions, after: Interactions) -> list[BoolArray]:
    """Returns which interactions of each row remain, one bool array per row.

    Raises:
        PluginError: if ``after`` is not an instance of ``Interactions``, if it has a different number of users or items
            than ``before``, or if a row of ``after`` is not a subsequence of the same row of ``before``.
    """
    if not isinstance(after, Interactions):
        raise PluginError(f"sanitise() returned {type(after).__name__} as the kept interactions, not Interactions")
    if (after.n_users, after.n_items) != (before.n_users, before.n_items):
        raise PluginError(
            f"sanitise() returned {after.n_users} rows over {after.n_items} items; it must keep the {before.n_users} "
            f"rows and the {before.n_items} items, and may leave a row empty"
        )
    return [_kept(before.row(user), after.row(user)) for user in range(before.n_users)]


def _kept(old: IntArray, new: IntArray) -> BoolArray:
    """Returns which items of the old row remain in the new one, bool [len(old)].

    If an item occurs several times in the old row, the first possible place counts as kept.

    Raises:
        PluginError: if the new row does not consist of items of the old one, in the same order.
    """
    kept = np.zeros(len(old), dtype=bool)
    if len(new) == len(old) and np.array_equal(old, new):
        return ~kept
    place = 0
    for item in new.tolist():
        later = np.flatnonzero(old[place:] == item)
        if not len(later):
            raise PluginError("sanitise() added, changed or moved an interaction of a user; it may only drop some")
        place += int(later[0]) + 1
        kept[place - 1] = True
    return kept
