"""Checks and descriptions for the splits ``files`` and ``cold-users``.

The split ``files`` takes the parts of a source that is already split.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robench.api.data import Interactions
from robench.api.dataset import PARTS, DatasetConfig, Ratings
from robench.api.errors import DataError, counted
from robench.engine.data.events import Events


def check_own_split(ratings: Ratings, config: DatasetConfig) -> None:
    """Checks that a source is split already, and that no k-core is requested.

    A k-core would change the existing split.

    Raises:
        DataError: if the source is not split, if training or test has no rows, or if the filters include a k-core.
    """
    if ratings.parts is None:
        raise DataError("the split files needs a source that is split already", hint="csv and recbole read own files")
    for number, name in ((0, "training"), (2, "test")):
        if not (ratings.parts == number).any():
            raise DataError(f"the split files has no {name} rows")
    for name in ("min_user_interactions", "min_item_interactions"):
        if getattr(config, name) > 1:
            problem = f"{name} is {getattr(config, name)}, and files that are split already get no k-core"
            raise DataError(problem, hint=f"leave {name} out, or filter before you split")


def once_in_earliest_part(events: Events, keep: str) -> tuple[NDArray[np.bool_], list[str]]:
    """Selects one event per user-item pair and describes overlaps of the parts.

    If a pair is in several parts, only the earliest part counts. Training comes before validation, and validation
    before test. Therefore, no item that a user has in training is held out for this user.

    Args:
        events: the events with their parts, sorted by ``sort_events``.
        keep: the setting ``repeats``, which selects among the events in one part. ``last`` selects the latest event.
            Any other value selects the earliest.

    Returns:
        A mask that is True for the selected events, bool [n], and a list. The list has one line about the overlap, or
        is empty if no pair is in several parts.
    """
    assert events.parts is not None
    order = np.lexsort((events.parts, events.items, events.users))
    users, items, parts = events.users[order], events.items[order], events.parts[order]
    new_pair = np.append(True, (np.diff(users) != 0) | (np.diff(items) != 0))
    new_part = new_pair | np.append(True, np.diff(parts) != 0)
    edges = np.append(new_part[1:], True) if keep == "last" else new_part
    earliest = parts[new_pair][np.cumsum(new_pair) - 1]
    once = np.zeros(len(events), dtype=bool)
    once[order[edges & (parts == earliest)]] = True
    later = np.bincount(parts[edges & (parts != earliest)], minlength=len(PARTS))
    if not later.sum():
        return once, []
    where = " and ".join(f"{later[number]} of {PARTS[number]}" for number in (1, 2) if later[number])
    total = counted(int(later.sum()), "user-item pair")
    return once, [
        f"overlap of the parts: {total} ({where}) in an earlier part too; they count for the earlier part only"
    ]


def describe_own_split(train: Interactions, validation: Interactions, test: Interactions) -> list[str]:
    """Returns lines about users and items without training rows.

    Users are counted only if they have test items. If there are no validation items, another line says what this means
    for neural models.
    """
    users = int(((train.lengths() == 0) & (test.lengths() > 0)).sum())
    items = int((train.counts() == 0).sum())
    lines = []
    if users:
        lines.append(f"not evaluated: {counted(users, 'user')} with test items and without training items")
    if items:
        lines.append(f"{counted(items, 'item')} of the catalogue without a training row")
    if not len(validation):
        lines.append("no validation items: neural models train for all their epochs and keep the last weights")
    return lines


def describe_cold(validation: Interactions, test: Interactions) -> list[str]:
    """Returns a list with one line about the number of cold users."""
    counts = [int((part.lengths() > 0).sum()) for part in (validation, test)]
    return [f"cold users: {counts[0]} for validation, {counts[1]} for the test; no fit sees their items"]
