"""The facts about items and users in users.npz.

Metrics of recommended lists are computed from them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.metric import ItemFacts
from robench.store.npz import Arrays

FACTS = frozenset(("train_count", "trained_users", "genre", "history_length"))


def collect_facts(data: Any) -> ItemFacts:
    """Returns the facts about items that metrics of recommended lists need."""
    genres = sorted({genre for item in data.catalogue.items for genre in item.genres})
    column = {genre: number for number, genre in enumerate(genres)}
    table = np.zeros((data.train.n_items, len(genres)), dtype=np.bool_)
    for row, item in enumerate(data.catalogue.items):
        table[row, [column[genre] for genre in item.genres]] = True
    return ItemFacts(data.train.counts(), int((data.train.lengths() > 0).sum()), table)


def facts_arrays(name: str, data: Any, users: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Returns the arrays of users.npz with the facts about items and users.

    Args:
        name: the name of the data set and split, which is the prefix of all array names.
        data: the prepared data.
        users: the rows of the evaluated users, int64 [users].

    Returns:
        ``train_count``, int64 [n_items], ``genre``, bool [n_items, genres], and ``trained_users``, int64 [1], hold the
        fields of ``ItemFacts``. ``history_length``, int64 [users], is the number of known items of each evaluated user.
    """
    facts = collect_facts(data)
    return {
        f"{name}/train_count": facts.counts,
        f"{name}/trained_users": np.array([facts.n_users], dtype=np.int64),
        f"{name}/genre": facts.genres,
        f"{name}/history_length": data.history().lengths()[users],
    }


def read_facts(known: Arrays) -> ItemFacts | None:
    """Returns the facts about the items of one data set and split, or None.

    Folders of earlier versions have no facts.

    Args:
        known: the arrays of users.npz for the data set and split, by short name.
    """
    if "train_count" not in known:
        return None
    return ItemFacts(known["train_count"], int(known["trained_users"][0]), known["genre"])


def find_facts_problem(known: Arrays) -> str:
    """Describes a fault in the facts, or returns an empty string.

    Args:
        known: the arrays of users.npz for one data set and split, by short name.
    """
    missing = FACTS - known.keys()
    if missing:
        return "" if missing == FACTS else f"lack {', '.join(sorted(missing))}"
    count, genre, length, users = (known[name] for name in ("train_count", "genre", "history_length", "trained_users"))
    kinds = "".join(array.dtype.kind for array in (count, genre, length, users))
    items = known["title"].shape
    fit = count.shape == items and genre.shape[:1] == items and length.shape == known["user"].shape
    if kinds != "ibii" or genre.ndim != 2 or users.shape != (1,) or not fit:
        return "do not fit the items and users"
    if (count < 0).any() or (length < 0).any() or users[0] < 0:
        return "have a negative number"
    return ""
